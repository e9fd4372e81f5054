package espmqtt

import (
	"fmt"
	"slices"
	"strings"
)

// UserProperty is a pair of texts.
type UserProperty struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// UserProperties is an mqtt5_user_property_handle_t: the user properties of a packet, in their order. The zero value is
// the handle NULL.
type UserProperties []UserProperty

// Set is esp_mqtt5_client_set_user_property: it appends pairs to those that are there. It fails where there are none. The
// texts are C's and end at a NUL.
func (u *UserProperties) Set(pairs ...UserProperty) error {
	if len(pairs) == 0 {
		return fmt.Errorf("no user properties are given: %w", ErrFail)
	}
	for _, p := range pairs {
		*u = append(*u, UserProperty{cText(p.Key), cText(p.Value)})
	}
	return nil
}

// Get is esp_mqtt5_client_get_user_property: copies of the first pairs, up to limit. It fails where there is no list, or
// room for none.
func (u UserProperties) Get(limit int) ([]UserProperty, error) {
	if u == nil || limit <= 0 {
		return nil, fmt.Errorf("no user properties, or no room for them: %w", ErrFail)
	}
	return slices.Clone(u[:min(limit, len(u))]), nil
}

// Count is esp_mqtt5_client_get_user_property_count, whose result has eight bits.
func (u UserProperties) Count() byte { return byte(len(u)) }

// Delete is esp_mqtt5_client_delete_user_property.
func (u *UserProperties) Delete() { *u = nil }

// or is u where it is set, and otherwise old.
func (u UserProperties) or(old UserProperties) UserProperties {
	if u == nil {
		return old
	}
	return u
}

// append appends the pairs as properties of a packet.
func (u UserProperties) append(b []byte) []byte {
	for _, p := range u {
		b = appendString(append(b, propUserProperty), cText(p.Key))
		b = appendString(b, cText(p.Value))
	}
	return b
}

// cText is what C sees of a text.
func cText(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return text
}
