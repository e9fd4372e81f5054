package espmqtt

import (
	"encoding/hex"
	"testing"
)

// TestConnect holds CONNECT against what the real client sends for the same configuration.
func TestConnect(t *testing.T) {
	t.Parallel()
	id := `"credentials": {"client_id": "a"}`
	for name, test := range map[string]struct {
		config   string
		property *ConnectProperty
		want     string
	}{
		"3.1.1": {`{}`, nil, "101800044d51545404020078000c45535033325f616243444546"},
		"3.1":   {`{"session": {"protocol_ver": 1}}`, nil, "101a00064d514973647003020078000c45535033325f616243444546"},
		"5.0":   {`{"session": {"protocol_ver": 3}}`, nil, "101900044d5154540502007800000c45535033325f616243444546"},
		"5.0, topic alias maximum": {`{"session": {"protocol_ver": 3}}`, &ConnectProperty{TopicAliasMaximum: 5},
			"102100044d51545405020078082700000400220005000c45535033325f616243444546"},
		"5.0, all properties": {
			`{"session": {"protocol_ver": 3, "last_will": {"topic": "w", "msg": "hi", "qos": 1, "retain": 1}},
			"credentials": {"username": "u", "authentication": {"password": "p"}}}`,
			&ConnectProperty{SessionExpiryInterval: 10, MaximumPacketSize: 2000, ReceiveMaximum: 7, TopicAliasMaximum: 5,
				RequestResponseInfo: true, RequestProblemInfo: true, WillDelayInterval: 3},
			"104000044d51545405ee007814110000000a27000007d021000722000519011701000c45535033325f616243444546" +
				"051800000003000177000268690001750001" + "70"},
		"will, user, password": {
			`{"session": {"keepalive": 300, "last_will": {"topic": "w", "msg": "hi", "qos": 2, "retain": true}},
			"credentials": {"client_id": "abc", "username": "u", "authentication": {"password": "p"}}}`, nil,
			"101c00044d51545404f6012c000361626300017700026869000175000170"},
		"password alone": {`{"credentials": {"client_id": "a", "authentication": {"password": "p"}}}`, nil,
			"101200044d51545404c200780001610000000170"},
		"null id": {`{"credentials": {"set_null_client_id": true}}`, nil, "100c00044d515454040200780000"},
		"null id, persistent": {`{"credentials": {"set_null_client_id": true}, "session": {"disable_clean_session": true}}`, nil,
			"100c00044d515454040000780000"},
		"no keep alive":  {`{"session": {"disable_keepalive": true}, ` + id + `}`, nil, "100d00044d51545404020000000161"},
		"keep alive cut": {`{"session": {"keepalive": 70000}, ` + id + `}`, nil, "100d00044d51545404021170000161"},
		"will QoS 3": {`{"session": {"last_will": {"topic": "w", "qos": 3}}, ` + id + `}`, nil,
			"101200044d515454041e00780001610001770000"},
		"will without topic": {`{"session": {"last_will": {"msg": "m", "qos": 1}}, ` + id + `}`, nil,
			"100d00044d51545404020078000161"},
		"empty user":   {`{"credentials": {"client_id": "a", "username": ""}}`, nil, "100d00044d51545404020078000161"},
		"just fits":    {`{"buffer": {"out_size": 18}, ` + id + `}`, nil, "100d00044d51545404020078000161"},
		"does not fit": {`{"buffer": {"out_size": 17}, ` + id + `}`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := newClient(parse(t, test.config), func(k *Kconfig) { k.Protocol5 = true })
			if err != nil {
				t.Fatal(err)
			}
			if test.property != nil {
				if err := c.SetConnectProperty(*test.property); err != nil {
					t.Fatal(err)
				}
			}
			if got := hex.EncodeToString(c.connectPacket()); got != test.want {
				t.Errorf("CONNECT is\n%s, not\n%s", got, test.want)
			}
		})
	}
}

func TestPacketIdentifiers(t *testing.T) {
	t.Parallel()
	c, err := newClient(Config{}, func(k *Kconfig) { k.MessageIDIncremental = true })
	if err != nil {
		t.Fatal(err)
	}
	c.lastID = 65534
	for _, want := range []uint16{65535, 1, 2} {
		if got := c.nextID(); got != want {
			t.Errorf("identifier %d, not %d", got, want)
		}
	}
	random, err := newClient(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 200_000 {
		if id := random.nextID(); id == 0 || id == 65535 {
			t.Fatalf("identifier %d by chance", id)
		}
	}
}
