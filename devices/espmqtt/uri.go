package espmqtt

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Characters of the parts of a URI, as the client's parser knows them.
const (
	letters     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits      = "0123456789"
	hexDigits   = digits + "abcdefABCDEF"
	inUserinfo  = letters + digits + "-_.!~*'()%;:&=+$,"
	inAuthority = inUserinfo + "[]@"
	inHost      = letters + digits + ".-"
	inIPv6      = hexDigits + ":."
	inZone      = letters + digits + "%.-_~"
)

// schemeOf is the scheme of a transport; it is empty for one that is not in the build (ESP-CFG-03).
func (c *client) schemeOf(t Transport) string {
	switch {
	case t == TransportTCP:
		return "mqtt"
	case t == TransportSSL && c.kconfig.TransportSSL:
		return "mqtts"
	case t == TransportWS && c.kconfig.webSocket():
		return "ws"
	case t == TransportWSS && c.kconfig.TransportWebSocketSecure && c.kconfig.webSocket():
		return "wss"
	}
	return ""
}

// defaultPort is the port of a scheme; it is 0 for one that the client does not know (ESP-URI-02).
func (c *client) defaultPort(scheme string) int {
	switch scheme {
	case "mqtt":
		return c.kconfig.TCPDefaultPort
	case "mqtts":
		return c.kconfig.SSLDefaultPort
	case "ws":
		return c.kconfig.WSDefaultPort
	case "wss":
		return c.kconfig.WSSDefaultPort
	}
	return 0
}

// applyURI takes scheme://[user[:password]@]host[:port][/path][?query][#fragment] apart. What the URI leaves out stays
// as it is, but for the path (ESP-URI-07, ESP-URI-08). A URI that is wrong changes nothing (ESP-URI-10). User and password
// are percent-decoded, but where they are to be taken literally.
func (s *settings) applyURI(uri string, literally bool) error {
	if uri == "" || uri[0] == '/' || uri[0] == '*' { // to the parser nothing, or a path alone, is one (ESP-URI-01)
		return fmt.Errorf("uri %q has no scheme: %w", uri, ErrNoMemory)
	}
	scheme, rest, found := strings.Cut(uri, "://")
	if !found || scheme == "" || !only(scheme, letters) {
		return fmt.Errorf("uri %q has no scheme: %w", uri, ErrFail)
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("uri %q holds a character that has to be percent-encoded: %w", uri, ErrFail)
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if !only(authority, inAuthority) {
		return fmt.Errorf("uri %q: %q: %w", uri, authority, ErrFail)
	}
	userinfo, hostport, hasUser := strings.Cut(authority, "@")
	if !hasUser {
		userinfo, hostport = "", authority
	}
	if !only(userinfo, inUserinfo) {
		return fmt.Errorf("uri %q: user: %w", uri, ErrFail)
	}
	host, port, hasPort, err := splitHostPort(hostport)
	if err != nil {
		return fmt.Errorf("uri %q: %w", uri, err)
	}
	username, password, hasPassword := strings.Cut(userinfo, ":") // the first colon splits (ESP-URI-06)
	if !literally {
		if username, err = percentDecoded(username); err != nil {
			return fmt.Errorf("uri %q: user: %w", uri, err)
		}
		if password, err = percentDecoded(password); err != nil {
			return fmt.Errorf("uri %q: password: %w", uri, err)
		}
	}

	if userinfo != "" {
		s.username = username
	}
	if hasPassword {
		s.password = password
	}
	s.fromURI, s.hasHost = true, true
	s.scheme, s.host = strings.ToLower(scheme), host
	if hasPort {
		s.port = port // else an older one stays (ESP-URI-09)
	}
	path, _, _ = strings.Cut(path, "#")
	path, query, _ := strings.Cut(path, "?")
	if query != "" {
		path = cmp.Or(path, "/") + "?" + query
	}
	s.path, s.hasPath = path, path != ""
	return nil
}

// splitHostPort is strict where the client's parser is: an empty port, one above 65535 and characters that no host name
// has are errors (ESP-URI-03, ESP-URI-04). A port of 0 means the default.
func splitHostPort(hostport string) (host string, port int, hasPort bool, err error) {
	host, text, hasPort := strings.Cut(hostport, ":")
	valid := host != "" && only(host, inHost)
	if inBrackets, found := strings.CutPrefix(hostport, "["); found {
		var behind string
		host, behind, valid = strings.Cut(inBrackets, "]")
		address, zone, hasZone := strings.Cut(host, "%")
		valid = valid && address != "" && only(address, inIPv6) && hasZone == (zone != "") && only(zone, inZone)
		text, hasPort = strings.CutPrefix(behind, ":")
		valid = valid && (hasPort || behind == "")
	}
	if !valid {
		return "", 0, false, fmt.Errorf("host %q: %w", hostport, ErrFail)
	}
	if !hasPort {
		return host, 0, false, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || !only(text, digits) {
		return "", 0, false, fmt.Errorf("port %q: %w", text, ErrFail)
	}
	return host, int(n), true, nil
}

// percentDecoded decodes as the client does: + stays, and a NUL ends the text.
func percentDecoded(text string) (string, error) {
	decoded, err := url.PathUnescape(text)
	if err != nil {
		return "", errPercent
	}
	decoded = cText(decoded)
	return decoded, nil
}

// errPercent is for a % that stands for no character.
var errPercent = fmt.Errorf("no two hexadecimal digits after %%: %w", ErrFail)

// logURI says why a URI was not taken.
func (c *client) logURI(uri string, err error) {
	switch {
	case errors.Is(err, ErrNoMemory):
		c.log('E', "esp_mqtt_client_set_uri(1124): Memory exhausted")
	case errors.Is(err, errPercent):
		c.log('E', "Error parse uri (non-hexadecimal data after %%) = %s", uri)
	default:
		c.log('E', "Error parse uri (1) = %s", uri)
	}
}

// only says whether all characters of s are among the given ones.
func only(s, characters string) bool { return strings.Trim(s, characters) == "" }
