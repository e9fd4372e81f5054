package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// marshalNamed writes a name alone where nothing belongs to it, and otherwise the name with it: {"delay": {"by": "2s"}}.
func marshalNamed(name string, value any) ([]byte, error) {
	text, err := marshal(value)
	if err != nil {
		return nil, err
	}
	if string(text) == "{}" {
		return marshal(name)
	}
	return fmt.Appendf(nil, "{%q:%s}", name, text), nil
}

// unmarshalNamed reads what marshalNamed writes, given how to read each kind.
func unmarshalNamed[T any](unmarshal func(any) error, what string, kinds map[string]func(func(any) error) (T, error)) (T, error) {
	var none T
	unknown := func(name string) error {
		return located(unmarshal, fmt.Errorf("unknown %s %q; there are %s", what, name,
			strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")))
	}
	if !isMapping(unmarshal) {
		var name string
		if err := unmarshal(&name); err != nil {
			return none, err
		}
		read, ok := kinds[name]
		if !ok {
			return none, unknown(name)
		}
		kind, err := read(nil)
		return kind, located(unmarshal, err)
	}
	var named map[string]later
	if err := unmarshal(&named); err != nil {
		return none, err
	}
	if len(named) != 1 {
		return none, located(unmarshal, fmt.Errorf("one %s at a time, but here are %d names: %s", what, len(named),
			strings.Join(slices.Sorted(maps.Keys(named)), ", ")))
	}
	for name, value := range named {
		read, ok := kinds[name]
		if !ok {
			return none, unknown(name)
		}
		if value.isEmpty() {
			value.unmarshal = nil
		}
		kind, err := read(value.unmarshal)
		return kind, located(unmarshal, err)
	}
	return none, nil
}

// later is a value that is read when its kind is known.
type later struct{ unmarshal func(any) error }

// isEmpty says whether nothing stands there.
func (l *later) isEmpty() bool {
	var node ast.Node
	if l.unmarshal == nil || l.unmarshal(&node) != nil {
		return true
	}
	_, isNull := node.(*ast.NullNode)
	return isNull
}

// UnmarshalYAML keeps how to read it.
func (l *later) UnmarshalYAML(unmarshal func(any) error) error {
	l.unmarshal = unmarshal
	return nil
}
