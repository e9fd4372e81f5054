package espmqtt

import (
	"fmt"
	"sort"
)

// Defect is a fault that is planted in the model on purpose. A suite that passes a client with a defect proves nothing,
// so each scenario names at least one defect that must make it fail.
type Defect string

// The defects. Each breaks one behaviour.
const (
	ConnectTwice            Defect = "connect-twice"
	ConnectWrongKeepAlive   Defect = "connect-wrong-keep-alive"
	ConnectCleanAlways      Defect = "connect-clean-always"
	CredentialsSwapped      Defect = "credentials-swapped"
	RefusalIgnored          Defect = "refusal-ignored"
	ConnackAwaitedForever   Defect = "connack-awaited-forever"
	NoReconnect             Defect = "no-reconnect"
	NoPing                  Defect = "no-ping"
	PingLate                Defect = "ping-late"
	MissingPingrespIgnored  Defect = "missing-pingresp-ignored"
	PingForgotten           Defect = "ping-forgotten-after-receiving"
	NoRetransmit            Defect = "no-retransmit"
	RetransmitWithoutDUP    Defect = "retransmit-without-dup"
	RetransmitNewID         Defect = "retransmit-new-id"
	DUPOnFirstSend          Defect = "dup-on-first-send"
	NoPubrelRetransmit      Defect = "no-pubrel-retransmit"
	OutboxLostOnReconnect   Defect = "outbox-lost-on-reconnect"
	NoSubscribeRetransmit   Defect = "no-subscribe-retransmit"
	OutboxNeverExpires      Defect = "outbox-never-expires"
	PacketIDZero            Defect = "packet-id-zero"
	PubrelFlagsZero         Defect = "pubrel-flags-zero"
	NoPuback                Defect = "no-puback"
	PubackWrongID           Defect = "puback-wrong-id"
	PubackBeforePayload     Defect = "puback-before-payload"
	NoPubcomp               Defect = "no-pubcomp"
	WillNotSent             Defect = "will-not-sent"
	WillOnlyOnFirstConnect  Defect = "will-only-on-first-connect"
	WillQoSZero             Defect = "will-qos-zero"
	WillRetainLost          Defect = "will-retain-lost"
	StopWithoutDisconnect   Defect = "stop-without-disconnect"
	FragmentOffsetStuck     Defect = "fragment-offset-stuck"
	LastFragmentLost        Defect = "last-fragment-lost"
	SentFragmentOverlaps    Defect = "sent-fragment-overlaps"
	RetransmitFirstFragment Defect = "retransmit-first-fragment-only"
	BufferOffByOne          Defect = "buffer-off-by-one"
)

// defectTexts says in words what each defect does.
var defectTexts = map[Defect]string{
	ConnectTwice:            "sends CONNECT again after the connection was accepted",
	ConnectWrongKeepAlive:   "CONNECT carries twice the configured keep alive",
	ConnectCleanAlways:      "CONNECT asks for a clean session although a persistent one is configured",
	CredentialsSwapped:      "CONNECT carries the password before the user name",
	RefusalIgnored:          "takes a refusing CONNACK for an accepting one",
	ConnackAwaitedForever:   "waits for CONNACK without a limit",
	NoReconnect:             "never connects again after a lost connection",
	NoPing:                  "never sends PINGREQ",
	PingLate:                "sends PINGREQ only after one and a quarter of the keep alive",
	MissingPingrespIgnored:  "keeps a connection on which PINGRESP never came",
	PingForgotten:           "takes received packets for a reason not to send PINGREQ",
	NoRetransmit:            "never sends an unacknowledged PUBLISH again on a live connection",
	RetransmitWithoutDUP:    "sends an unacknowledged PUBLISH again without DUP",
	RetransmitNewID:         "sends an unacknowledged PUBLISH again under a new packet identifier",
	DUPOnFirstSend:          "sets DUP on the first transmission of a PUBLISH",
	NoPubrelRetransmit:      "never sends PUBREL again",
	OutboxLostOnReconnect:   "forgets unacknowledged messages when the connection is lost",
	NoSubscribeRetransmit:   "never sends an unacknowledged SUBSCRIBE again",
	OutboxNeverExpires:      "keeps unacknowledged messages for ever",
	PacketIDZero:            "uses packet identifier 0",
	PubrelFlagsZero:         "sends PUBREL with flag bits 0000",
	NoPuback:                "does not acknowledge a received QoS 1 PUBLISH",
	PubackWrongID:           "acknowledges a received QoS 1 PUBLISH under the next packet identifier",
	PubackBeforePayload:     "acknowledges a fragmented PUBLISH when its first fragment is there",
	NoPubcomp:               "does not answer PUBREL",
	WillNotSent:             "leaves the last will out of CONNECT",
	WillOnlyOnFirstConnect:  "leaves the last will out of CONNECT when it reconnects",
	WillQoSZero:             "CONNECT asks for QoS 0 for the last will",
	WillRetainLost:          "CONNECT leaves out the retain flag of the last will",
	StopWithoutDisconnect:   "stops without sending DISCONNECT",
	FragmentOffsetStuck:     "reports every fragment of a large message at offset 0",
	LastFragmentLost:        "does not report the last fragment of a large message",
	SentFragmentOverlaps:    "sends the last byte of a fragment again in the place of the next one's first",
	RetransmitFirstFragment: "sends only the first fragment of a large message again, filled up with zeros",
	BufferOffByOne:          "cuts the last byte off a message that fills the input buffer exactly",
}

// Text says in words what the defect does.
func (d Defect) Text() string { return defectTexts[d] }

// Defects returns all defects in the order of their names.
func Defects() []Defect {
	var all []Defect
	for d := range defectTexts {
		all = append(all, d)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all
}

// ParseDefect returns the defect of that name.
func ParseDefect(name string) (Defect, error) {
	if d := Defect(name); d.Text() != "" {
		return d, nil
	}
	return "", fmt.Errorf("unknown defect %q", name)
}
