package faults

import (
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// An UnmarshalYAML method is given a function that reads what stands in the file, as often as it likes. What follows is what
// these methods have in common.

// located is an error about what stands in a rule file: it says line and column, and shows them, unless err does already.
func located(unmarshal func(any) error, err error) error {
	var located yaml.Error
	if err == nil || errors.As(err, &located) {
		return err
	}
	var node ast.Node
	if unmarshal(&node) != nil || node == nil {
		return err
	}
	return &yaml.SyntaxError{Message: err.Error(), Token: beginning(node)}
}

// beginning is the token that a reader takes for the beginning of a node.
func beginning(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return beginning(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return node.GetToken()
}

// inWords is an error in words that make sense to somebody who does not know the types of the program.
func inWords(err error) error {
	var mismatch *yaml.TypeError
	var overflow *yaml.OverflowError
	switch {
	case errors.As(err, &mismatch):
		return &yaml.SyntaxError{Message: "here belongs " + typeText(mismatch.DstType), Token: mismatch.Token}
	case errors.As(err, &overflow):
		message := fmt.Sprintf("%s is out of range: here belongs %s", overflow.SrcNum, typeText(overflow.DstType))
		return &yaml.SyntaxError{Message: message, Token: overflow.Token}
	}
	return err
}

func typeText(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Uint8:
		return "a number from 0 to 255"
	case reflect.Uint16:
		return "a number from 0 to 65535"
	case reflect.Uint64:
		return "a number from 0 to 18446744073709551615"
	case reflect.Int, reflect.Int64, reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	}
	return "a text"
}

// isMapping says whether there are fields, and not a value alone.
func isMapping(unmarshal func(any) error) bool {
	var fields map[string]later
	return unmarshal(&fields) == nil && fields != nil
}

// word is a text as it is written, even where it looks like a number.
type word string

// UnmarshalYAML reads it from a rule file.
func (w *word) UnmarshalYAML(unmarshal func(any) error) error {
	var node ast.Node
	if err := unmarshal(&node); err != nil {
		return err
	}
	switch n := node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		*w = word(n.GetToken().Value)
		return nil
	case *ast.NullNode:
		return located(unmarshal, errors.New("here belongs a text"))
	}
	return unmarshal((*string)(w))
}

// text is what packets hold: a word, or any bytes, which rule files write as {hex: ff00} where they are no UTF-8.
type text string

// hexForm is a text as its bytes.
type hexForm struct {
	Hex *word `json:"hex"`
}

// MarshalJSON writes it as in a rule file.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return marshal(string(t))
	}
	bytes := word(hex.EncodeToString([]byte(t)))
	return marshal(hexForm{&bytes})
}

// UnmarshalYAML reads it from a rule file.
func (t *text) UnmarshalYAML(unmarshal func(any) error) error {
	if !isMapping(unmarshal) {
		return unmarshal((*word)(t))
	}
	var form hexForm
	if err := unmarshal(&form); err != nil {
		return err
	}
	if form.Hex == nil {
		return located(unmarshal, errors.New("here belongs a text, or its bytes, such as {hex: ff00}"))
	}
	bytes, err := hex.DecodeString(strings.Join(strings.Fields(string(*form.Hex)), ""))
	if err != nil {
		return located(unmarshal, fmt.Errorf("%q is not in hexadecimal: %w", *form.Hex, err))
	}
	*t = text(bytes)
	return nil
}

// unmarshalText reads a value that has a form as text.
func unmarshalText(unmarshal func(any) error, into encoding.TextUnmarshaler) error {
	var w word
	if err := unmarshal(&w); err != nil {
		return err
	}
	return located(unmarshal, into.UnmarshalText([]byte(w)))
}

// list is a list that may be written without brackets where it has one element.
type list[T any] []T

// UnmarshalYAML reads it from a rule file.
func (l *list[T]) UnmarshalYAML(unmarshal func(any) error) error {
	var node ast.Node
	if err := unmarshal(&node); err != nil {
		return err
	}
	switch n := node.(type) {
	case *ast.SequenceNode:
		for _, value := range n.Values {
			if _, empty := value.(*ast.NullNode); empty {
				return &yaml.SyntaxError{Message: "there is nothing in this place of the list", Token: value.GetToken()}
			}
		}
		return unmarshal((*[]T)(l))
	case *ast.AliasNode, *ast.NullNode:
		return unmarshal((*[]T)(l))
	}
	*l = make([]T, 1)
	return unmarshal(&(*l)[0])
}

// unmarshalStruct reads the fields of a struct. Numbers that have to be whole must be so: the parser would cut them off.
func unmarshalStruct(unmarshal func(any) error, into any) error {
	if err := unmarshal(into); err != nil {
		return err
	}
	var node ast.Node
	if unmarshal(&node) != nil {
		return nil
	}
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		return nil
	}
	whole := wholeFields(reflect.TypeOf(into).Elem())
	for _, v := range mapping.Values {
		if _, fraction := v.Value.(*ast.FloatNode); fraction && whole[v.Key.GetToken().Value] {
			return &yaml.SyntaxError{Message: "here belongs a whole number", Token: v.Value.GetToken()}
		}
	}
	return nil
}

// wholeFields are the names of a struct's fields that are whole numbers.
func wholeFields(t reflect.Type) map[string]bool {
	whole := map[string]bool{}
	if t.Kind() != reflect.Struct {
		return whole
	}
	for i := range t.NumField() {
		field := t.Field(i).Type
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		whole[name] = field.Kind() >= reflect.Int && field.Kind() <= reflect.Uint64
	}
	return whole
}
