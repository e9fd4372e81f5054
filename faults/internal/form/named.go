package form

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// MarshalNamed writes a name alone where nothing belongs to it, and otherwise the name with it: {"delay": {"by": "2s"}}.
func MarshalNamed(name string, value any) ([]byte, error) {
	text, err := Marshal(value)
	if err != nil {
		return nil, err
	}
	if string(text) == "{}" {
		return Marshal(name)
	}
	return fmt.Appendf(nil, "{%q:%s}", name, text), nil
}

// Kinds are how to read each kind of something, by its name. Unmarshal, which reads what stands behind the name, is nil
// where the name stands alone.
type Kinds[T any] map[string]func(unmarshal func(any) error) (T, error)

// UnmarshalNamed reads what MarshalNamed writes.
func UnmarshalNamed[T any](unmarshal func(any) error, what string, kinds Kinds[T]) (T, error) {
	var none T
	if !IsMapping(unmarshal) {
		var name string
		if err := unmarshal(&name); err != nil {
			return none, err
		}
		return kinds.read(unmarshal, what, name, nil)
	}
	var named map[string]Later
	if err := unmarshal(&named); err != nil {
		return none, err
	}
	return kinds.readOne(unmarshal, what, named)
}

// readOne reads the only one of these fields.
func (k Kinds[T]) readOne(unmarshal func(any) error, what string, named map[string]Later) (T, error) {
	var none T
	if len(named) != 1 {
		return none, Located(unmarshal, fmt.Errorf("one %s at a time, but here are %d names: %s", what, len(named),
			strings.Join(slices.Sorted(maps.Keys(named)), ", ")))
	}
	for name, value := range named {
		if value.isEmpty() {
			value.unmarshal = nil
		}
		return k.read(unmarshal, what, name, value.unmarshal)
	}
	return none, nil
}

// read reads a kind by its name; unmarshal reads all of it, value what stands behind the name.
func (k Kinds[T]) read(unmarshal func(any) error, what, name string, value func(any) error) (T, error) {
	read, ok := k[name]
	if !ok {
		var none T
		return none, Located(unmarshal, fmt.Errorf("unknown %s %q; there are %s", what, name,
			strings.Join(slices.Sorted(maps.Keys(k)), ", ")))
	}
	kind, err := read(value)
	return kind, Located(unmarshal, err)
}

// Given says whether there is a value.
func (l Later) Given() bool { return l.unmarshal != nil }

// Later is a value that is read when its kind is known.
type Later struct{ unmarshal func(any) error }

// isEmpty says whether nothing stands there.
func (l *Later) isEmpty() bool {
	var node ast.Node
	if l.unmarshal == nil || l.unmarshal(&node) != nil {
		return true
	}
	_, isNull := node.(*ast.NullNode)
	return isNull
}

// UnmarshalYAML keeps how to read it.
func (l *Later) UnmarshalYAML(unmarshal func(any) error) error {
	l.unmarshal = unmarshal
	return nil
}
