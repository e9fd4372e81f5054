package espmqtt

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestURI(t *testing.T) {
	t.Parallel()
	type parts struct {
		scheme, host       string
		port               int
		path               string
		username, password string
	}
	tests := map[string]struct {
		uri  string
		want parts
		err  error
	}{
		"host alone":               {"mqtt://broker.local", parts{"mqtt", "broker.local", 9, "", "u", "p"}, nil},
		"scheme in any case":       {"MqTTs://h", parts{"mqtts", "h", 9, "", "u", "p"}, nil},
		"unknown scheme":           {"http://h:1", parts{"http", "h", 1, "", "u", "p"}, nil},
		"port":                     {"mqtt://h:65535", parts{"mqtt", "h", 65535, "", "u", "p"}, nil},
		"port 0 means the default": {"mqtt://h:0", parts{"mqtt", "h", 0, "", "u", "p"}, nil},
		"IPv6":                     {"mqtt://[fe80::1%25eth0]:5", parts{"mqtt", "fe80::1%25eth0", 5, "", "u", "p"}, nil},
		"IPv6 without port":        {"mqtt://[::1]/x", parts{"mqtt", "::1", 9, "/x", "u", "p"}, nil},
		"path and query":           {"ws://h/a/b?c=d?e#f", parts{"ws", "h", 9, "/a/b?c=d?e", "u", "p"}, nil},
		"query alone":              {"ws://h?c=d", parts{"ws", "h", 9, "/?c=d", "u", "p"}, nil},
		"empty query":              {"ws://h?", parts{"ws", "h", 9, "", "u", "p"}, nil},
		"fragment dropped":         {"ws://h/#?", parts{"ws", "h", 9, "/", "u", "p"}, nil},
		"user and password":        {"mqtt://me:a%20b@h", parts{"mqtt", "h", 9, "", "me", "a b"}, nil},
		"colons in the password":   {"mqtt://me:a:b:c@h", parts{"mqtt", "h", 9, "", "me", "a:b:c"}, nil},
		"user leaves password":     {"mqtt://me@h", parts{"mqtt", "h", 9, "", "me", "p"}, nil},
		"password empties user":    {"mqtt://:x@h", parts{"mqtt", "h", 9, "", "", "x"}, nil},
		"plus is not decoded":      {"mqtt://a+b@h", parts{"mqtt", "h", 9, "", "a+b", "p"}, nil},
		"NUL truncates":            {"mqtt://a%00b@h", parts{"mqtt", "h", 9, "", "a", "p"}, nil},
		"no scheme, host":          {"host:1883", parts{}, ErrFail},
		"no scheme, address":       {"1.2.3.4:1883", parts{}, ErrFail},
		"digit in the scheme":      {"mqtt2://h", parts{}, ErrFail},
		"path alone":               {"/path", parts{}, ErrNoMemory},
		"nothing":                  {"", parts{}, ErrNoMemory},
		"no host":                  {"mqtt://", parts{}, ErrFail},
		"underscore":               {"mqtt://a_b", parts{}, ErrFail},
		"empty port":               {"mqtt://h:", parts{}, ErrFail},
		"port too large":           {"mqtt://h:65536", parts{}, ErrFail},
		"port with a sign":         {"mqtt://h:+1", parts{}, ErrFail},
		"bad percent":              {"mqtt://a%2@h", parts{}, ErrFail},
		"second at":                {"mqtt://a@b@h", parts{}, ErrFail},
		"hash in the user":         {"mqtt://a#b@h", parts{}, ErrFail},
		"UTF-8 in the user":        {"mqtt://ä@h", parts{}, ErrFail},
		"blank in the path":        {"ws://h/a b", parts{}, ErrFail},
		"bracket open":             {"mqtt://[::1", parts{}, ErrFail},
		"text behind the bracket":  {"mqtt://[::1]x", parts{}, ErrFail},
		"empty zone":               {"mqtt://[::1%]", parts{}, ErrFail},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := settings{scheme: "ws", host: "old", port: 9, path: "/old", username: "u", password: "p"}
			s := old
			err := s.applyURI(test.uri, false)
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Fatalf("%s: error %v, not %v", test.uri, err, test.err)
			}
			got := parts{s.scheme, s.host, s.port, s.path, s.username, s.password}
			if err != nil {
				test.want = parts{old.scheme, old.host, old.port, old.path, old.username, old.password} // nothing changed
			}
			if got != test.want {
				t.Errorf("%s: %+v, not %+v", test.uri, got, test.want)
			}
		})
	}
}

// TestSetURI: it leaves the connection alone and counts from the next one on, and a URI that is wrong changes nothing.
func TestSetURI(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		without []Quirk
		uri     string
		err     error
		host    string // of the next connection, as the client has it
		port    int
		path    string
	}{
		"another host":                  {nil, "mqtt://10.0.0.2:77/p", nil, "10.0.0.2", 77, "/p"},
		"no port, so the old one stays": {nil, "ws://10.0.0.2", nil, "10.0.0.2", 1883, ""},
		"and without the quirk":         {[]Quirk{QuirkStickyPort}, "ws://10.0.0.2", nil, "10.0.0.2", 0, ""},
		"no scheme":                     {nil, "10.0.0.2:77", ErrFail, "10.0.0.1", 1883, ""},
		"a path alone":                  {nil, "/p", ErrNoMemory, "10.0.0.1", 1883, ""},
		"a bad password":                {[]Quirk{QuirkStickyPort}, "mqtt://u:%zz@10.0.0.2:77/p", ErrFail, "10.0.0.1", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{behaviour: Behaviour{Without: test.without}}, func(r *rig) {
				before := r.settings.username
				err := r.SetURI(test.uri)
				if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Fatalf("error %v, not %v", err, test.err)
				}
				if s := &r.settings; s.host != test.host || s.port != test.port || s.path != test.path || s.username != before {
					t.Errorf("the next connection goes to %s:%d%s of %q", s.host, s.port, s.path, s.username)
				}
				time.Sleep(10 * time.Second)
				r.happens("before connected") // and nothing has become of this one
			})
		})
	}
}

// TestSetURICounts: after a new URI the next connection goes there, from within a handler, too.
func TestSetURICounts(t *testing.T) {
	t.Parallel()
	handler := func(r *rig, e Event) {
		if e.ID == EventDisconnected {
			if err := e.Client.SetURI("mqtt://u:p@10.0.0.1:1883"); err != nil {
				r.t.Error(err)
			}
		}
	}
	inRig(t, options{handler: handler}, func(r *rig) {
		_ = r.conn.Close()
		r.accept("")
		if want := unhex(t, "1013 0004 4d515454 04 c2 0078 0001 61 0001 75 0001 70"); !bytes.Equal(r.connect, want) {
			t.Errorf("CONNECT is %x, not %x", r.connect, want)
		}
	})
}

func FuzzURI(f *testing.F) {
	for _, seed := range []string{"mqtt://user:pa%20ss@host:1883/path?query#f", "ws://[::1%25e]:80?",
		"mqtt://", "//", "mqtt://@:", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		var s settings
		if err := s.applyURI(uri, false); err != nil {
			return
		}
		if s.host == "" || s.scheme == "" || s.port < 0 || s.port > 65535 {
			t.Errorf("%q was taken for %+v", uri, s)
		}
		if s.path != "" && !strings.HasPrefix(s.path, "/") {
			t.Errorf("%q gave the path %q", uri, s.path)
		}
		if strings.ContainsAny(s.host, "/?#@[] ") {
			t.Errorf("%q gave the host %q", uri, s.host)
		}
	})
}
