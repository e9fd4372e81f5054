package emulator

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"mqtthil/devices/espmqtt"
)

// The application reads its configuration from base64 of a JSON object. What it says of a bad one are the words of its
// source and of its library; what it makes of a number that its field does not hold is what C makes of it.

// categories are the kinds of configuration, in the order in which the application looks for them. The last one is
// mqtthil's.
var categories = []string{"mqtt_config", "connect_property", "publish_property", "subscribe_property", "disconnect_property",
	"unsubscribe_property"}

// categories are those that the build has. A client without MQTT 5.0 has no properties: the original calls functions for
// them that are not there, and compiles only with its own lines for them taken out.
func (a *conformance) categories() []string {
	if a.power.board.options.Kconfig.Protocol5 {
		return categories
	}
	return categories[:1]
}

// read reads a blob: an espmqtt.Config, or properties of one of the kinds that package espmqtt has. It is false where the
// blob is none.
func (a *conformance) read(encoded string) (config any, ok bool) {
	category, node, ok := a.blob(encoded)
	if !ok {
		return nil, false
	}
	switch category {
	case "mqtt_config":
		return a.clientConfig(node)
	case "connect_property":
		return readProperties[espmqtt.ConnectProperty](a, node)
	case "publish_property":
		return readProperties[espmqtt.PublishProperty](a, node)
	case "subscribe_property":
		return readProperties[espmqtt.SubscribeProperty](a, node)
	case "disconnect_property":
		return readProperties[espmqtt.DisconnectProperty](a, node)
	}
	return readProperties[espmqtt.UnsubscribeProperty](a, node)
}

// blob reads the one configuration that is in a blob: where there are several, the first of the categories.
func (a *conformance) blob(encoded string) (category string, node map[string]any, ok bool) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimRight(encoded, " "))
	if err != nil || len(text) == 0 { // the application asks for the length first, which is 0 then
		a.log('E', "json config: base64 length probe failed")
		return "", nil, false
	}
	value, err := parseJSON(text)
	switch {
	case err == errNumberOverflow: // an exception that the application does not catch
		a.power.panic(Abort)
		return "", nil, false
	case err != nil:
		a.log('E', "json config: %s", err)
		return "", nil, false
	}
	object, ok := value.(map[string]any)
	if !ok {
		a.log('E', "json config: expected a JSON object")
		return "", nil, false
	}
	for _, category := range a.categories() {
		if value, ok := object[category]; ok {
			if node, ok = value.(map[string]any); !ok {
				a.log('E', "json config: category '%s' must be a JSON object", category)
			}
			return category, node, ok
		}
	}
	a.log('E', "json config: no recognized category present")
	return "", nil, false
}

// ownPaths are the places in mqtt_config that the original reads, in its order. Those of mqtthil come behind them.
var ownPaths = []string{"/broker/address/uri", "/credentials/client_id", "/session/keepalive",
	"/session/disable_clean_session", "/session/protocol_ver", "/network/disable_auto_reconnect"}

// clientConfig reads an mqtt_config. What it does not know it does not look at.
func (a *conformance) clientConfig(node map[string]any) (any, bool) {
	var config espmqtt.Config
	all := places(reflect.ValueOf(&config).Elem(), node, "")
	slices.SortStableFunc(all, func(one, other place) int { return one.rank() - other.rank() })
	for _, p := range all {
		if err := assign(p.field, p.value); err != nil {
			a.log('E', "json config: '%s' has an unexpected JSON type (%s)", p.path, err)
			return nil, false
		}
		endText(p.path, p.field)
	}
	return config, true
}

// place is a field of the configuration that a blob has a value for.
type place struct {
	path  string
	field reflect.Value
	value any
}

// rank is the place's turn: the original's own come first.
func (p place) rank() int {
	if i := slices.Index(ownPaths, p.path); i >= 0 {
		return i
	}
	return len(ownPaths)
}

// places are the fields of a struct that the node has, by their paths, with those of structs in it.
func places(of reflect.Value, node map[string]any, path string) (all []place) {
	for i := range of.NumField() {
		name := fieldName(of.Type().Field(i))
		value, there := node[name]
		if !there {
			continue
		}
		if field, path := of.Field(i), path+"/"+name; field.Kind() != reflect.Struct {
			all = append(all, place{path, field, value})
		} else if inner, ok := value.(map[string]any); ok {
			all = append(all, places(field, inner, path)...)
		}
	}
	return all
}

// fieldName is a field's name in JSON.
func fieldName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// endText ends a text as C does, at a NUL, unless it is one that has a length beside it.
func endText(path string, field reflect.Value) {
	if strings.HasSuffix(path, "/msg") || path == "correlation_data" {
		return
	}
	if field.Kind() == reflect.Pointer {
		field = field.Elem()
	}
	if field.Kind() == reflect.String {
		field.SetString(printed(field.String()))
	}
}

// readProperties reads properties into a struct, in the order of their names. Unknown ones are skipped.
func readProperties[T any](a *conformance, node map[string]any) (any, bool) {
	var into T
	known := map[string]place{}
	for _, p := range places(reflect.ValueOf(&into).Elem(), node, "") {
		known[p.path[1:]] = p
	}
	for _, name := range slices.Sorted(maps.Keys(node)) {
		p, ok := known[name]
		if !ok {
			a.log('W', "json config: unknown field name '%s', skipping", printed(name))
			continue
		}
		if err := assign(p.field, p.value); err != nil {
			a.log('E', "json config: field '%s' has an unexpected JSON type (%s)", printed(name), err)
			return nil, false
		}
		endText(name, p.field)
	}
	return into, true
}

// unexpectedType is what the library says where it cannot convert a value.
func unexpectedType(wanted string, value any) error {
	return fmt.Errorf("[json.exception.type_error.302] type must be %s, but is %s", wanted, jsonType(value))
}

func jsonType(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "number"
}

// assign converts a value to a field's type, as the library's get does.
func assign(field reflect.Value, value any) error {
	switch field.Kind() {
	case reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
		return assign(field.Elem(), value)
	case reflect.String:
		text, ok := value.(string)
		if !ok {
			return unexpectedType("string", value)
		}
		field.SetString(text)
	case reflect.Bool:
		yes, ok := value.(bool)
		if !ok {
			return unexpectedType("boolean", value)
		}
		field.SetBool(yes)
	case reflect.Slice:
		elements, ok := value.([]any)
		if !ok {
			return unexpectedType("array", value)
		}
		field.Set(reflect.MakeSlice(field.Type(), len(elements), len(elements)))
		for i, element := range elements {
			if err := assign(field.Index(i), element); err != nil {
				return err
			}
		}
	case reflect.Struct:
		members, ok := value.(map[string]any)
		if !ok {
			return unexpectedType("object", value)
		}
		for i := range field.NumField() {
			if member, ok := members[fieldName(field.Type().Field(i))]; ok {
				if err := assign(field.Field(i), member); err != nil {
					return err
				}
			}
		}
	default:
		return assignNumber(field, value)
	}
	return nil
}

// assignNumber converts a value to a number: the fraction of one that is not whole is cut off, and of one that the field
// does not hold the low bits stay. A boolean counts, but not for an enumeration. (A fraction beyond what the field holds is
// undefined in C; here it is the nearest number of 64 bits, and then its low bits.)
func assignNumber(field reflect.Value, value any) error {
	var number int64
	switch v := value.(type) {
	case int64:
		number = v
	case uint64:
		number = int64(v)
	case float64:
		number = truncated(v)
	case bool:
		switch field.Interface().(type) {
		case espmqtt.ProtocolVersion, espmqtt.Transport:
			return unexpectedType("number", value)
		}
		if v {
			number = 1
		}
	default:
		return unexpectedType("number", value)
	}
	switch field.Kind() {
	case reflect.Uint8:
		number = int64(uint8(number))
	case reflect.Uint16:
		number = int64(uint16(number))
	case reflect.Uint32:
		number = int64(uint32(number))
	case reflect.Int: // 32 bits wide in C
		field.SetInt(int64(int32(number)))
		return nil
	}
	field.SetUint(uint64(number))
	return nil
}

func truncated(number float64) int64 {
	switch {
	case number >= math.MaxInt64:
		return math.MaxInt64
	case number <= math.MinInt64:
		return math.MinInt64
	}
	return int64(number)
}
