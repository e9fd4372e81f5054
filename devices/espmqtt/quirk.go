package espmqtt

import (
	"fmt"
	"maps"
	"slices"
)

// Quirk is something that the real client does against the standard, or to the surprise of whoever uses it. The model
// does it too, unless it is switched off; then it does what the standard, or common sense, says.
type Quirk string

// The quirks, in the order of the rules that describe them.
const (
	QuirkLivePublish            Quirk = "live-publish-retransmission"
	QuirkSubscribeAgain         Quirk = "subscribe-retransmission"
	QuirkLivePubrel             Quirk = "live-pubrel-retransmission"
	QuirkOldestOnly             Quirk = "oldest-only-retransmission"
	QuirkOvertaking             Quirk = "offline-messages-overtake"
	QuirkOutboxOverSessions     Quirk = "outbox-kept-over-clean-session"
	QuirkSessionPresent         Quirk = "session-present-on-clean-session"
	QuirkIDReuse                Quirk = "packet-id-in-use-taken"
	QuirkUnackedExpire          Quirk = "unacknowledged-messages-expire"
	QuirkQoS2Again              Quirk = "qos2-delivered-again"
	QuirkUnknownIDs             Quirk = "unknown-ids-answered-with-success"
	QuirkPubrecFailure          Quirk = "pubrec-failure-answered-with-pubrel"
	QuirkFailureAsSuccess       Quirk = "failure-codes-reported-as-success"
	QuirkDisconnectKeepsOpen    Quirk = "server-disconnect-does-not-close"
	QuirkEmptyDisconnect        Quirk = "empty-disconnect-reported-as-minus-one"
	QuirkDisconnectIgnored      Quirk = "server-disconnect-ignored"
	QuirkSilentClose            Quirk = "protocol-errors-close-silently"
	QuirkAliasesKept            Quirk = "topic-aliases-outlive-connection"
	QuirkAliasResent            Quirk = "alias-only-publish-sent-again"
	QuirkQuotaLeak              Quirk = "expired-message-keeps-quota"
	QuirkReceiveMaximumZero     Quirk = "receive-maximum-zero-accepted"
	QuirkServerLimitsKept       Quirk = "server-limits-outlive-connection"
	QuirkConnackIntoConnect     Quirk = "connack-values-in-next-connect"
	QuirkMaximumPacketSize      Quirk = "server-maximum-packet-size-ignored"
	QuirkResponseTopic          Quirk = "response-topic-spoilt"
	QuirkBlockedSubscribe       Quirk = "subscribe-waits-behind-blocked-publish"
	QuirkPingAnyway             Quirk = "ping-regardless-of-traffic"
	QuirkOnlyPingresp           Quirk = "only-pingresp-counts-as-life"
	QuirkKeepAliveTruncated     Quirk = "long-keep-alive-truncated"
	QuirkStallOfPoll            Quirk = "pause-of-one-poll-disconnects"
	QuirkLengthReentry          Quirk = "length-field-reentered"
	QuirkIncompleteMessage      Quirk = "incomplete-message-acknowledged"
	QuirkHeaderCut              Quirk = "packet-id-misread-behind-long-topic"
	QuirkPropertiesBeyondBuffer Quirk = "properties-beyond-buffer"
	QuirkStaleFragment          Quirk = "stale-fragment-sent-again"
	QuirkFailedPublishKept      Quirk = "failed-publish-delivered-later"
	QuirkSlowQueue              Quirk = "queue-drains-one-per-poll"
	QuirkLateReconnect          Quirk = "reconnect-after-one-and-a-half"
	QuirkDisconnectUndone       Quirk = "disconnect-undone-by-reconnect"
	QuirkKeepAliveWebSocket     Quirk = "tcp-keep-alive-spoils-websocket"
	QuirkRefreshAbrupt          Quirk = "refresh-without-disconnect"
	QuirkInvalidSent            Quirk = "invalid-values-sent"
	QuirkConnackOffsets         Quirk = "connack-read-at-fixed-offsets"
	QuirkMalformedConnack       Quirk = "malformed-connack-reported-as-refusal"
	QuirkOverlongLength         Quirk = "overlong-length-accepted"
	QuirkWebSocketUnchecked     Quirk = "websocket-answer-unchecked"
	QuirkWebSocketNoClose       Quirk = "websocket-close-not-sent"
	QuirkWebSocketControl       Quirk = "websocket-control-frame-breaks-packet"
	QuirkCustomEvents           Quirk = "user-events-hold-up-others"
	QuirkStickyPort             Quirk = "sticky-port"
	QuirkTLSOptionsSkipped      Quirk = "tls-option-errors-skipped"
	QuirkLastSubscriptionID     Quirk = "last-subscription-identifier-only"
	QuirkMixedCaseID            Quirk = "mixed-case-client-id"
	QuirkSubackUnchecked        Quirk = "suback-codes-unchecked"
	QuirkNoTextForRejectedID    Quirk = "no-text-for-rejected-identifier"
	QuirkRefusedForEver         Quirk = "refused-credentials-tried-for-ever"
)

// quirks says of each quirk which rule describes it, what the real client does, and what one without it does.
var quirks = map[Quirk]struct{ rule, text, without string }{
	QuirkLivePublish: {"ESP-QRK-01", "sends an unacknowledged PUBLISH again on a live connection",
		"again on a new connection only"},
	QuirkSubscribeAgain: {"ESP-QRK-02", "sends an unanswered SUBSCRIBE or UNSUBSCRIBE again",
		"forgets it with its connection"},
	QuirkLivePubrel: {"ESP-QRK-03", "sends PUBREL again on a live connection",
		"again on a new connection only"},
	QuirkOldestOnly: {"ESP-QRK-04", "sends only the oldest unacknowledged packet again",
		"all of them"},
	QuirkOvertaking: {"ESP-QRK-05", "in 3.x, sends messages published offline before those in flight",
		"in the order in which they were published"},
	QuirkOutboxOverSessions: {"ESP-QRK-06", "sends messages in flight again, with DUP, in a session that does not know them",
		"as new messages"},
	QuirkSessionPresent: {"ESP-QRK-07", "accepts session present in answer to a clean session",
		"closes the connection"},
	QuirkIDReuse: {"ESP-QRK-08", "takes packet identifiers that are in use",
		"takes unused ones only"},
	QuirkUnackedExpire: {"ESP-QRK-09", "drops unacknowledged messages after a time",
		"only messages that were never sent"},
	QuirkQoS2Again: {"ESP-QRK-10", "delivers a QoS 2 message again when it is repeated",
		"delivers it once"},
	QuirkUnknownIDs: {"ESP-QRK-11", "in 5.0, answers PUBREC and PUBREL of unknown identifiers with success",
		"with reason code 0x92"},
	QuirkPubrecFailure: {"ESP-QRK-12", "answers a failing PUBREC with PUBREL, and keeps its place in the send quota",
		"takes it for the end of the exchange"},
	QuirkFailureAsSuccess: {"ESP-QRK-13", "reports failure codes in PUBACK, PUBCOMP and UNSUBACK as completion",
		"as an error"},
	QuirkDisconnectKeepsOpen: {"ESP-QRK-14", "in 5.0, stays connected after the server's DISCONNECT",
		"closes the connection"},
	QuirkEmptyDisconnect: {"ESP-QRK-15", "reports a DISCONNECT without reason code as reason -1",
		"as reason 0"},
	QuirkDisconnectIgnored: {"ESP-QRK-16", "in 3.x, ignores a DISCONNECT of the server",
		"closes the connection"},
	QuirkSilentClose: {"ESP-QRK-17", "in 5.0, closes after a protocol error without a word",
		"sends DISCONNECT with a reason code first"},
	QuirkAliasesKept: {"ESP-QRK-18", "knows the server's topic aliases on the next connection",
		"forgets them with the connection"},
	QuirkAliasResent: {"ESP-QRK-19", "sends a PUBLISH with a topic alias alone again on a new connection",
		"stores it with its topic"},
	QuirkQuotaLeak: {"ESP-QRK-20", "does not give the place of an expired message in the send quota back",
		"gives it back"},
	QuirkReceiveMaximumZero: {"ESP-QRK-21", "accepts Receive Maximum 0, and then sends nothing with QoS 1 or 2",
		"takes it for the protocol error that it is"},
	QuirkServerLimitsKept: {"ESP-QRK-22", "holds a server to the limits of an earlier CONNACK",
		"to those of this connection's"},
	QuirkConnackIntoConnect: {"ESP-QRK-23", "puts server keep alive and session expiry of CONNACK into the next CONNECT",
		"what was configured"},
	QuirkMaximumPacketSize: {"ESP-QRK-24", "sends packets larger than the server's Maximum Packet Size",
		"refuses to send them"},
	QuirkResponseTopic: {"ESP-QRK-25", "cuts the response topic off and ends it with a NUL where there is response information",
		"sends it whole"},
	QuirkBlockedSubscribe: {"ESP-QRK-26", "lets a queued SUBSCRIBE wait behind a PUBLISH that has no quota",
		"lets it pass"},
	QuirkPingAnyway: {"ESP-QRK-27", "sends PINGREQ at half the keep alive, whatever else it sends",
		"after half the keep alive of silence"},
	QuirkOnlyPingresp: {"ESP-QRK-28", "gives up a connection without PINGRESP although other packets come in",
		"takes each packet for a sign of life"},
	QuirkKeepAliveTruncated: {"ESP-QRK-29", "sends the low 16 bits of a longer keep alive",
		"keeps to 65535 s"},
	QuirkStallOfPoll: {"ESP-QRK-30", "gives up a connection after a pause of one poll within a packet",
		"after the network time-out"},
	QuirkLengthReentry: {"ESP-QRK-31", "takes bytes of a packet for its length when it comes in pieces",
		"knows where the length field ended"},
	QuirkIncompleteMessage: {"ESP-QRK-32", "acknowledges a large message of which the rest does not come",
		"gives the connection up"},
	QuirkHeaderCut: {"ESP-QRK-33", "misreads the packet identifier where the topic nearly fills the buffer",
		"refuses the message as too big"},
	QuirkPropertiesBeyondBuffer: {"ESP-QRK-34", "in 5.0, reads properties that are not in its buffer from the memory behind it",
		"refuses the message"},
	QuirkStaleFragment: {"ESP-QRK-35", "sends a part of a message again that follows one too large for the buffer",
		"sends it once"},
	QuirkFailedPublishKept: {"ESP-QRK-36", "reports failure for a message that it will send after the reconnect",
		"returns its packet identifier"},
	QuirkSlowQueue: {"ESP-QRK-37", "sends one queued message per poll while nothing comes in",
		"one after the other at once"},
	QuirkLateReconnect: {"ESP-QRK-38", "reconnects after one and a half of the set time",
		"after the set time"},
	QuirkDisconnectUndone: {"ESP-QRK-38", "reconnects by itself after it was asked to disconnect",
		"when it is asked to"},
	QuirkKeepAliveWebSocket: {"ESP-QRK-39", "with TCP keep alive on a WebSocket, spoils its memory, so that the board panics",
		"connects, without TCP keep alive"},
	QuirkRefreshAbrupt: {"ESP-QRK-40", "refreshes a connection without DISCONNECT, so that the last will is published",
		"sends DISCONNECT first"},
	QuirkInvalidSent: {"ESP-QRK-41", "in 3.x, sends QoS 3, or an empty client identifier without clean session",
		"refuses them"},
	QuirkConnackOffsets: {"ESP-QRK-42", "in 3.x, reads CONNACK at fixed places, whatever its length says",
		"refuses one of another length"},
	QuirkMalformedConnack: {"ESP-QRK-43", "reports a malformed CONNACK of 5.0 as a refusal with code 0",
		"as an error of the transport"},
	QuirkOverlongLength: {"ESP-QRK-44", "accepts lengths in more bytes than they need",
		"takes them for malformed"},
	QuirkWebSocketUnchecked: {"ESP-QRK-45", "accepts any status and subprotocol in an upgrade, and text frames",
		"only 101, mqtt and binary frames"},
	QuirkWebSocketNoClose: {"ESP-QRK-46", "closes a WebSocket without a CLOSE frame",
		"sends one"},
	QuirkWebSocketControl: {"ESP-QRK-47", "breaks on a control frame within a packet, and on a frame header in pieces",
		"goes on"},
	QuirkCustomEvents: {"ESP-QRK-48", "stands still, or handles its events late, where the application's own wait before them",
		"handles its events at once"},
	QuirkStickyPort: {"ESP-QRK-49", "keeps the port when a URI without one changes the scheme",
		"takes the scheme's default"},
	QuirkTLSOptionsSkipped: {"ESP-QRK-50", "connects without the settings of TLS behind one that its build cannot do",
		"gives the attempt up"},
	QuirkLastSubscriptionID: {"ESP-QRK-51", "reports the last subscription identifier alone, cut to 16 bits",
		"all of them"},
	QuirkMixedCaseID: {"ESP-QRK-52", "mixes upper and lower case in the default client identifier",
		"writes it in upper case"},
	QuirkSubackUnchecked: {"ESP-QRK-53", "accepts any number of codes in SUBACK, and codes that do not exist",
		"takes them for a protocol error"},
	QuirkNoTextForRejectedID: {"ESP-QRK-54", "logs no reason for a rejected client identifier",
		"logs it"},
	QuirkRefusedForEver: {"ESP-QRK-55", "tries again for ever after its credentials were refused",
		"waits until it is asked to"},
}

// Text says in words what the real client does.
func (q Quirk) Text() string { return quirks[q].text }

// Without says in words what a client without the quirk does instead.
func (q Quirk) Without() string { return quirks[q].without }

// Rule is the id of the rule that describes the quirk.
func (q Quirk) Rule() string { return quirks[q].rule }

// Quirks returns all quirks in the order of their names.
func Quirks() []Quirk { return slices.Sorted(maps.Keys(quirks)) }

// ParseQuirk returns the quirk of that name.
func ParseQuirk(name string) (Quirk, error) {
	if q := Quirk(name); q.Text() != "" {
		return q, nil
	}
	return "", fmt.Errorf("unknown quirk %q", name)
}
