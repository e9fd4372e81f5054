package faults

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"mqtthil/faults/internal/form"
)

// text is what packets hold: a text, or any bytes, which rule files write as {hex: ff00} where they are no UTF-8.
type text string

// hexForm is a text as its bytes.
type hexForm struct {
	Hex *form.Text `json:"hex"`
}

// MarshalJSON writes it as in a rule file.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return form.Marshal(string(t))
	}
	bytes := form.Text(hex.EncodeToString([]byte(t)))
	return form.Marshal(hexForm{&bytes})
}

// UnmarshalYAML reads it from a rule file.
func (t *text) UnmarshalYAML(unmarshal func(any) error) error {
	if !form.IsMapping(unmarshal) {
		return unmarshal((*form.Text)(t))
	}
	var written hexForm
	if err := unmarshal(&written); err != nil {
		return err
	}
	if written.Hex == nil {
		return form.Located(unmarshal, errors.New("here belongs a text, or its bytes, such as {hex: ff00}"))
	}
	bytes, err := hex.DecodeString(strings.Join(strings.Fields(string(*written.Hex)), ""))
	if err != nil {
		return form.Located(unmarshal, fmt.Errorf("%q is not in hexadecimal: %w", *written.Hex, err))
	}
	*t = text(bytes)
	return nil
}
