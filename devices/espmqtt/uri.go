package espmqtt

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// defaultPorts are the ports of the schemes that the client knows (ESP-URI-02).
var defaultPorts = map[string]int{"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

func schemeOf(t Transport) string {
	switch t {
	case TransportTCP:
		return "mqtt"
	case TransportSSL:
		return "mqtts"
	case TransportWS:
		return "ws"
	case TransportWSS:
		return "wss"
	}
	return ""
}

// applyURI takes scheme://[user[:password]@]host[:port][/path][?query] apart. What the URI leaves out stays as it is,
// but for the path (ESP-URI-07, ESP-URI-08).
func (s *settings) applyURI(uri string) error {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found || !letters(scheme) {
		return fmt.Errorf("uri %q has no scheme: %w", uri, ErrFail)
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	userinfo, hostport, hasUser := strings.Cut(authority, "@")
	if !hasUser {
		userinfo, hostport = "", authority
	}
	if hasUser {
		user, password, hasPassword := strings.Cut(userinfo, ":") // the first colon splits (ESP-URI-06)
		decoded, err := url.PathUnescape(user)
		if err != nil {
			return fmt.Errorf("uri %q: user: %w", uri, ErrFail)
		}
		s.username = decoded
		if hasPassword {
			if s.password, err = url.PathUnescape(password); err != nil {
				return fmt.Errorf("uri %q: password: %w", uri, ErrFail)
			}
		}
	}
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return fmt.Errorf("uri %q: %w", uri, err)
	}
	s.scheme, s.host = strings.ToLower(scheme), host
	if port != 0 {
		s.port = port
	}
	if strings.HasPrefix(path, "?") {
		path = "/" + path
	}
	s.path = path
	return nil
}

// splitHostPort is strict where the client's parser is: an empty port, one above 65535 and characters that no host name
// has are errors (ESP-URI-03, ESP-URI-04). A port of 0 means the default.
func splitHostPort(hostport string) (host string, port int, err error) {
	host, digits := hostport, ""
	hasPort := false
	if strings.HasPrefix(hostport, "[") {
		end := strings.IndexByte(hostport, ']')
		if end < 0 {
			return "", 0, fmt.Errorf("host %q: %w", hostport, ErrFail)
		}
		host = hostport[1:end]
		if rest := hostport[end+1:]; rest != "" {
			digits, hasPort = strings.CutPrefix(rest, ":")
			if !hasPort {
				return "", 0, fmt.Errorf("host %q: %w", hostport, ErrFail)
			}
		}
	} else {
		host, digits, hasPort = strings.Cut(hostport, ":")
		if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
			return "", 0, fmt.Errorf("host %q: %w", hostport, ErrFail)
		}
	}
	if hasPort {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return "", 0, fmt.Errorf("port %q: %w", digits, ErrFail)
		}
		port = int(n)
	}
	return host, port, nil
}

func letters(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
