// Package form reads what rule files say: YAML or JSON, strictly, so that every error says line and column. Faults of all
// packages are written in the same forms, which are here.
package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Parse reads one document. Its errors say line, column and what is wrong there.
func Parse(data []byte, into any) error {
	var node ast.Node
	if yaml.Unmarshal(data, &node) == nil {
		if _, isNull := node.(*ast.NullNode); isNull {
			return errors.New("there is nothing in it")
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	switch err := d.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("there is nothing in it")
	case err != nil:
		return inWords(err)
	}
	var more ast.Node
	switch err := d.Decode(&more); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil && more != nil:
		return Located(func(into any) error { *into.(*ast.Node) = more; return nil },
			errors.New("this is a second document, behind ---, which nobody would read"))
	default:
		return errors.New("there is a second document, behind ---, which nobody would read")
	}
}

// Marshal writes JSON without the escapes for HTML, which would make topics unreadable.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// Duration is a time such as 1.5s or 200ms.
type Duration time.Duration

// Never is a time that no run lasts for.
const Never = 100 * 365 * 24 * time.Hour

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("%q is no time; one is 1.5s", text)
	case t > Never || t < -Never:
		return fmt.Errorf("%s is more than 100 years", text)
	}
	*d = Duration(t)
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (d *Duration) UnmarshalYAML(unmarshal func(any) error) error { return UnmarshalText(unmarshal, d) }
