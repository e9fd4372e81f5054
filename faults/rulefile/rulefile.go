// Package rulefile reads files that say what is to go wrong at every height: rules and conditions of the proxy, as
// faults.ParseFile has them, and beside them faults of the transport and of names.
//
//	rules:
//	  - on: {to: device, type: PUBACK}
//	    do: [drop]
//	transport:
//	  - expired-certificate
//	  - {stall: {before: server-hello, for: 5s}, times: 1}
//	  - {status: 403, nth: 2}
//	names:
//	  hosts: {broker.bench: 192.168.1.10}
//	  faults:
//	    - {does-not-exist: broker.bench, times: 2}
package rulefile

import (
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"mqtthil/faults"
	"mqtthil/faults/internal/form"
	"mqtthil/faults/names"
	"mqtthil/faults/transport"
)

// File is what a rule file holds.
type File struct {
	faults.File
	Transport []transport.Fault
	Names     *names.Setup // nil where the file says nothing of names
}

// Parse reads a rule file, in YAML or JSON. Its errors say line, column and what is wrong there.
func Parse(data []byte) (File, error) {
	var f File
	if err := form.Parse(data, &f); err != nil {
		return File{}, err
	}
	return f, nil
}

// UnmarshalYAML reads it from a rule file. What is not a section of its own is that of a faults.File, which is to find
// the mistakes in it.
func (f *File) UnmarshalYAML(unmarshal func(any) error) error {
	var node ast.Node
	if err := unmarshal(&node); err != nil {
		return err
	}
	var sections map[string]form.Later
	mapping, ok := node.(*ast.MappingNode)
	if !ok || unmarshal(&sections) != nil {
		return unmarshal(&f.File)
	}
	var own struct {
		Transport form.List[transport.Fault] `json:"transport"`
		Names     *names.Setup               `json:"names"`
	}
	rest, mine := *mapping, *mapping
	mine.Values, rest.Values = nil, nil
	for _, v := range mapping.Values {
		if slices.Contains([]string{"transport", "names"}, v.Key.GetToken().Value) {
			mine.Values = append(mine.Values, v)
		} else {
			rest.Values = append(rest.Values, v)
		}
	}
	if err := yaml.NodeToValue(&mine, &own, yaml.Strict()); err != nil {
		return err
	}
	f.Transport, f.Names = own.Transport, own.Names
	if len(rest.Values) == 0 && len(mine.Values) > 0 {
		return nil
	}
	return yaml.NodeToValue(&rest, &f.File, yaml.Strict())
}
