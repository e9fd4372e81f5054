package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"mqtthil/harness/timeline"
)

// hook is what mochi calls at each turn of a client's life. It decides who may connect, writes the record, and mends
// where mochi departs from the standard:
//
//   - A wrong password is answered with return code 4, as MQTT 3.1.1 has it, an empty client identifier without clean
//     session with 2, an unknown protocol level with 1. Other refusals of a CONNECT that the older protocols know no
//     return code for close the connection without CONNACK (OnPacketEncode).
//   - Clients of these protocols are sent no DISCONNECT, which is a client's packet there (OnPacketEncode).
//   - A will may have a message of no bytes (OnPacketRead, OnConnect).
type hook struct {
	mochi.HookBase
	broker *Broker
}

func (h *hook) ID() string { return "timeline" }

// Provides says which methods mochi may call.
func (h *hook) Provides(method byte) bool {
	switch method {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck,
		mochi.OnPacketRead, mochi.OnPacketEncode, mochi.OnPacketSent, mochi.OnPacketProcessed,
		mochi.OnConnect, mochi.OnSessionEstablish, mochi.OnDisconnect,
		mochi.OnSubscribe, mochi.OnSubscribed, mochi.OnUnsubscribed,
		mochi.OnPublish, mochi.OnQosComplete, mochi.OnQosDropped, mochi.OnWillSent:
		return true
	}
	return false
}

// OnConnectAuthenticate says whether a client may connect.
func (h *hook) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	users := *h.broker.users.Load()
	if len(users) == 0 {
		return true
	}
	password, known := users[string(pk.Connect.Username)]
	return known && password == string(pk.Connect.Password)
}

// OnACLCheck lets everyone publish and subscribe to everything.
func (h *hook) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// OnPacketRead is called with each packet before mochi checks it. Mochi refuses a will message of no bytes, so it gets
// to see one of a single byte, which OnConnect takes away again.
func (h *hook) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := connectionOf(cl)
	if ok && pk.FixedHeader.Type == packets.Connect && pk.Connect.WillFlag && len(pk.Connect.WillPayload) == 0 {
		c.emptyWill = true
		pk.Connect.WillPayload = []byte{0}
	}
	return pk, nil
}

// OnConnect is called with each CONNECT that is well formed.
func (h *hook) OnConnect(cl *mochi.Client, pk packets.Packet) error {
	c, ok := connectionOf(cl)
	if !ok {
		return nil
	}
	c.client = cl.ID
	if c.emptyWill {
		cl.Properties.Will.Payload = nil
	}
	keepAlive := time.Duration(pk.Connect.Keepalive) * time.Second
	c.setKeepAlive(keepAlive, func() {
		h.broker.record(timeline.Broker{
			Hook:   "keep-alive-expired",
			Client: cl.ID,
			Text:   fmt.Sprintf("no packet for %v, 1.5 times the keep alive", keepAlive*3/2),
		})
	})
	h.broker.record(timeline.Broker{Hook: "connect", Client: cl.ID, Text: describe(pk)})
	return nil
}

func describe(pk packets.Packet) string {
	version := map[byte]string{3: "3.1", 4: "3.1.1", 5: "5.0"}[pk.ProtocolVersion]
	s := fmt.Sprintf("MQTT %s, keep alive %d s", version, pk.Connect.Keepalive)
	if pk.Connect.Clean {
		s += ", clean session"
	}
	if pk.Connect.WillFlag {
		s += ", will " + pk.Connect.WillTopic
	}
	return s
}

// OnSessionEstablish is called before a client gets its session. The handover ends with the CONNACK.
func (h *hook) OnSessionEstablish(cl *mochi.Client, _ packets.Packet) {
	if c, ok := connectionOf(cl); ok {
		h.broker.takeHandover(c)
	}
}

// OnPacketEncode is called with each packet that is about to be sent, and may change it.
func (h *hook) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	c, ok := connectionOf(cl)
	if !ok {
		return pk
	}
	old := cl.Properties.ProtocolVersion != 5
	switch pk.FixedHeader.Type {
	case packets.Connack:
		h.broker.releaseHandover(c)
		if old && pk.ReasonCode != 0 {
			return h.refuse(cl, c, pk)
		}
	case packets.Disconnect:
		if old {
			pk.FixedHeader.Type = unsent
		}
	}
	return pk
}

// unsent is a packet type that mochi refuses to encode: the way to stop a packet in OnPacketEncode.
const unsent = packets.Reserved

// refuse gives a refusing CONNACK the return code that MQTT 3.1.1 has for the case.
func (h *hook) refuse(cl *mochi.Client, c *connection, pk packets.Packet) packets.Packet {
	assigned := cl.Properties.Props.AssignedClientID != ""
	switch {
	case pk.Properties.ReasonString == packets.ErrProtocolViolationProtocolVersion.Reason:
		pk.ReasonCode = 1
	case assigned && !cl.Properties.Clean:
		pk.ReasonCode = 2
	case pk.ReasonCode == packets.Err3NotAuthorized.Code: // mochi says so only of a wrong name or password
		pk.ReasonCode = 4
	}
	if _, exists := returnCodes[pk.ReasonCode]; !exists {
		c.stage = refused
		reason := pk.Properties.ReasonString + "; closed without CONNACK"
		h.broker.record(timeline.Broker{Hook: "connect-refused", Client: cl.ID, Text: reason})
		pk.FixedHeader.Type = unsent
	}
	return pk
}

// returnCodes are the meanings of the return codes of CONNACK in MQTT 3.1.1.
var returnCodes = map[byte]string{
	1: "unacceptable protocol level",
	2: "client identifier rejected",
	3: "server unavailable",
	4: "bad user name or password",
	5: "not authorized",
}

// OnPacketSent is called with each packet that was sent. A session counts as established with its CONNACK, so that
// whoever waits for it and then publishes cannot overtake the CONNACK.
func (h *hook) OnPacketSent(cl *mochi.Client, pk packets.Packet, _ []byte) {
	c, ok := connectionOf(cl)
	if !ok || pk.FixedHeader.Type != packets.Connack {
		return
	}
	e := timeline.Broker{Client: cl.ID}
	switch {
	case pk.ReasonCode == 0:
		c.stage = established
		e.Hook, e.Text = "session-established", "new session"
		if pk.SessionPresent {
			e.Text = "session present"
		}
	case cl.Properties.ProtocolVersion == 5:
		c.stage = refused
		e.Hook, e.Text = "connect-refused", fmt.Sprintf("%s (reason code 0x%02x)", pk.Properties.ReasonString, pk.ReasonCode)
	default:
		c.stage = refused
		e.Hook, e.Text = "connect-refused", fmt.Sprintf("%s (return code %d)", returnCodes[pk.ReasonCode], pk.ReasonCode)
	}
	h.broker.record(e)
}

// OnDisconnect is called when a connection with a session has ended, before the session is given up.
func (h *hook) OnDisconnect(cl *mochi.Client, err error, _ bool) {
	c, ok := connectionOf(cl)
	if !ok {
		return
	}
	h.broker.takeHandover(c)
	c.stage = over
	h.broker.record(timeline.Broker{Hook: "disconnect", Client: cl.ID, Text: cause(cl, c, err)})
}

// cause says why a connection ended. The error is nil where DISCONNECT was received.
func cause(cl *mochi.Client, c *connection, err error) string {
	var code packets.Code
	switch stopped := cl.StopCause(); {
	case errors.Is(err, packets.CodeDisconnectWillMessage):
		return "DISCONNECT received, which asks for the will"
	case errors.Is(stopped, packets.CodeDisconnect):
		return "DISCONNECT received"
	case errors.Is(stopped, packets.ErrSessionTakenOver):
		return "taken over by a new connection of the same client identifier"
	case errors.As(err, &code):
		return "closed by the broker: " + code.Reason
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "closed by the broker: keep alive expired"
	case err == nil || errors.Is(err, net.ErrClosed):
		return "closed by the broker"
	}
	if failure := c.writeFailure(); failure != nil {
		err = failure
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "connection lost: closed by the client without DISCONNECT"
	}
	return "connection lost: " + err.Error()
}

// OnPacketProcessed is called when mochi is through with a packet of a client.
func (h *hook) OnPacketProcessed(cl *mochi.Client, _ packets.Packet, _ error) {
	if c, ok := connectionOf(cl); ok {
		h.broker.releaseRetaining(c)
	}
}

// OnSubscribe is called with a SUBSCRIBE before anything is subscribed.
func (h *hook) OnSubscribe(cl *mochi.Client, pk packets.Packet) packets.Packet {
	if c, ok := connectionOf(cl); ok {
		h.broker.takeRetaining(c)
	}
	return pk
}

// OnSubscribed is called with a SUBSCRIBE and the return codes of its SUBACK.
func (h *hook) OnSubscribed(cl *mochi.Client, pk packets.Packet, codes []byte) {
	if cl.Net.Inline {
		return
	}
	for i, s := range pk.Filters {
		e := timeline.Broker{Hook: "subscribed", Client: cl.ID, Topic: s.Filter, ID: pk.PacketID}
		if i < len(codes) {
			e.QoS = codes[i]
		}
		if e.QoS > 2 {
			e.QoS, e.Text = 0, fmt.Sprintf("refused with 0x%02x", e.QoS)
		}
		h.broker.record(e)
	}
}

// OnUnsubscribed is called with an UNSUBSCRIBE, or with all filters of a session that ends.
func (h *hook) OnUnsubscribed(cl *mochi.Client, pk packets.Packet) {
	for _, s := range pk.Filters {
		e := timeline.Broker{Hook: "unsubscribed", Client: cl.ID, Topic: s.Filter, ID: pk.PacketID}
		if pk.PacketID == 0 {
			e.Text = "the session ended"
		}
		h.broker.record(e)
	}
}

// OnPublish is called with each PUBLISH that is accepted, before it is given to the subscribers.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if c, ok := connectionOf(cl); ok {
		if pk.FixedHeader.Retain {
			h.broker.takeRetaining(c)
		}
		h.broker.record(timeline.Broker{
			Hook:    "published",
			Client:  cl.ID,
			Topic:   pk.TopicName,
			QoS:     pk.FixedHeader.Qos,
			Retain:  pk.FixedHeader.Retain,
			ID:      pk.PacketID,
			Payload: pk.Payload,
		})
	}
	return pk, nil
}

// OnQosComplete is called when the last packet of a QoS 1 or 2 delivery was sent or received.
func (h *hook) OnQosComplete(cl *mochi.Client, pk packets.Packet) {
	e := timeline.Broker{Hook: "qos-complete", Client: cl.ID, ID: pk.PacketID, QoS: 2, Text: "to the client"}
	if pk.FixedHeader.Type == packets.Puback {
		e.QoS = 1
	}
	// A packet that the broker itself made has a time; of the client's packets, only PUBREL ends what came from it.
	if pk.Created != 0 || pk.FixedHeader.Type == packets.Pubrel {
		e.Text = "from the client"
	}
	h.broker.record(e)
}

// OnQosDropped is called when an unfinished QoS 1 or 2 delivery is given up, and also when the next connection of the
// session goes on with it.
func (h *hook) OnQosDropped(cl *mochi.Client, pk packets.Packet) {
	if cl.IsTakenOver() {
		return
	}
	e := timeline.Broker{Hook: "qos-dropped", Client: cl.ID, ID: pk.PacketID, Topic: pk.TopicName}
	if name, ok := packets.PacketNames[pk.FixedHeader.Type]; ok {
		e.Text = "at " + strings.ToUpper(name)
	}
	h.broker.record(e)
}

// OnWillSent is called when a will was published.
func (h *hook) OnWillSent(cl *mochi.Client, pk packets.Packet) {
	h.broker.record(timeline.Broker{
		Hook:    "will-sent",
		Client:  cl.ID,
		Topic:   pk.TopicName,
		QoS:     pk.FixedHeader.Qos,
		Retain:  pk.FixedHeader.Retain,
		Payload: pk.Payload,
	})
}

// connectionOf returns the connection of a client; the broker's own client has none.
func connectionOf(cl *mochi.Client) (*connection, bool) {
	c, ok := cl.Net.Conn.(*connection)
	return c, ok
}
