package form

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"mqtthil/faults/internal/limit"
)

// UnmarshalLimited reads a fault that may be limited to some of what it befalls: its name, its name with what belongs to
// it, and beside that nth, from and times. It may stand behind the word fault, too:
//
//	expired-certificate
//	{status: 403, nth: 2}
//	{fault: expired-certificate, times: 1}
func UnmarshalLimited[T any](unmarshal func(any) error, kinds Kinds[T]) (fault T, limits limit.Limit, err error) {
	if !IsMapping(unmarshal) {
		fault, err = UnmarshalNamed(unmarshal, "fault", kinds)
		return fault, limits, err
	}
	var fields map[string]Later
	if err := unmarshal(&fields); err != nil {
		return fault, limits, err
	}
	_, nth := fields["nth"]
	if _, from := fields["from"]; nth && from {
		return fault, limits, Located(unmarshal, errors.New("nth is one alone, from is one and all behind it: leave out either"))
	}
	for _, l := range []struct {
		name  string
		apply func(limit.Limit, int) limit.Limit
	}{{"nth", limit.Limit.Nth}, {"from", limit.Limit.From}, {"times", limit.Limit.Times}} {
		value, given := fields[l.name]
		if !given {
			continue
		}
		delete(fields, l.name)
		var n Whole
		if !value.isEmpty() {
			if err := value.unmarshal(&n); err != nil {
				return fault, limits, err
			}
		}
		if n < 1 {
			return fault, limits, Located(unmarshal, fmt.Errorf("%s %d: it is a number from 1", l.name, n))
		}
		limits = l.apply(limits, int(n))
	}
	if len(fields) == 0 {
		return fault, limits, Located(unmarshal, errors.New("the fault itself is missing: which one is it?"))
	}
	if value := fields["fault"]; len(fields) == 1 && value.Given() {
		fault, err = UnmarshalNamed(value.unmarshal, "fault", kinds)
	} else {
		fault, err = kinds.readOne(unmarshal, "fault", fields)
	}
	return fault, limits, err
}

// Alone is a kind to whose name nothing belongs.
func Alone[T any](make func() T) func(func(any) error) (T, error) {
	return func(unmarshal func(any) error) (T, error) {
		if unmarshal != nil {
			var none T
			return none, Located(unmarshal, errors.New("nothing belongs to it: leave this out"))
		}
		return make(), nil
	}
}

// With is a kind to whose name a value belongs, such as the example.
func With[V, T any](example string, make func(V) (T, error)) func(func(any) error) (T, error) {
	return func(unmarshal func(any) error) (T, error) {
		var none T
		fields := reflect.TypeFor[V]().Kind() == reflect.Struct
		if unmarshal == nil || fields && !IsMapping(unmarshal) {
			return none, fmt.Errorf("more belongs to it, such as %s", example)
		}
		var value V
		if err := UnmarshalStruct(unmarshal, &value); err != nil {
			return none, err
		}
		made, err := make(value)
		return made, Located(unmarshal, err)
	}
}

// Whole is a whole number.
type Whole int

// UnmarshalYAML reads it from a rule file.
func (w *Whole) UnmarshalYAML(unmarshal func(any) error) error {
	var node ast.Node
	if err := unmarshal(&node); err != nil {
		return err
	}
	if _, fraction := node.(*ast.FloatNode); fraction {
		return &yaml.SyntaxError{Message: "here belongs a whole number", Token: node.GetToken()}
	}
	return unmarshal((*int)(w))
}
