package espmqtt

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Defect is a fault that is planted in the model on purpose. A suite that passes a client with a defect proves nothing,
// so each defect has to be found: by a scenario, or by a transcript of the real client.
type Defect string

// Measure is what has to find a defect.
type Measure string

// The measures. What the scenarios find shows in a transcript, too, or in a case of its own that a test has; the other
// way round it does not hold.
const (
	Scenarios   Measure = "scenarios"   // at least one scenario names the defect, and fails
	Transcripts Measure = "transcripts" // at least one transcript comes out differently
)

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
	CredentialsNotDecoded   Defect = "uri-credentials-not-decoded"
	ClientIDOfWholeMAC      Defect = "default-client-id-of-whole-mac"
	NullClientIDReplaced    Defect = "null-client-id-replaced"
	KeepAliveNotDisabled    Defect = "keep-alive-not-disabled"
	WrongProtocolLevel      Defect = "connect-wrong-protocol-level"
	WillPayloadCut          Defect = "will-payload-cut"
	SessionExpiryLost       Defect = "connect-without-session-expiry"
	ReceiveMaximumNotSent   Defect = "connect-without-receive-maximum"
	SessionPresentLost      Defect = "session-present-not-reported"
	AnyPacketAsConnack      Defect = "any-packet-taken-for-connack"
	RefusalCodeLost         Defect = "refusal-code-lost"
	RefusalWithoutError     Defect = "refusal-without-error"
	SilenceReported         Defect = "missing-connack-reported-as-error"
	PingOnce                Defect = "ping-only-once"
	PingrespIgnored         Defect = "pingresp-ignored"
	ServerKeepAliveIgnored  Defect = "server-keep-alive-ignored"
	OutboxLimitIgnored      Defect = "outbox-limit-ignored"
	OutboxFullAsFailure     Defect = "outbox-full-returned-as-failure"
	NewestQueuedFirst       Defect = "newest-queued-first"
	DeletedNotReported      Defect = "expiry-not-reported"
	ExpiryFromInsertion     Defect = "expiry-counts-from-insertion"
	RetransmitSlowly        Defect = "retransmit-at-half-the-rate"
	NoRequeue               Defect = "no-requeue"
	AcknowledgementIgnored  Defect = "acknowledgement-ignored"
	NoPubrel                Defect = "no-pubrel"
	OutboxKeptOverStop      Defect = "outbox-kept-over-stop"
	EnqueueSendsAtOnce      Defect = "enqueue-sends-at-once"
	OfflineQoS0Kept         Defect = "offline-qos0-kept"
	OfflineQoS1Refused      Defect = "offline-publish-refused"
	SkipOfflineIgnored      Defect = "skip-offline-ignored"
	QoS2AsQoS1              Defect = "qos2-sent-as-qos1"
	RetainLost              Defect = "retain-lost"
	PublishedNotReported    Defect = "published-not-reported"
	PublishedForQoS0        Defect = "published-for-qos0"
	SamePacketID            Defect = "same-packet-id"
	PublishReturnsZero      Defect = "publish-returns-zero"
	SubscribeOfflineTaken   Defect = "offline-subscribe-taken"
	SubscribeQoSZero        Defect = "subscribe-qos-zero"
	RequestFlagsZero        Defect = "subscribe-flags-zero"
	SubackFailureHidden     Defect = "refused-subscription-hidden"
	SubackIgnored           Defect = "suback-ignored"
	UnsubackIgnored         Defect = "unsuback-ignored"
	NoPubrec                Defect = "no-pubrec"
	PubackForQoS2           Defect = "puback-for-qos2"
	StalledPacketKept       Defect = "stalled-packet-kept"
	InvalidHeaderIgnored    Defect = "invalid-header-ignored"
	TotalOfFragment         Defect = "total-length-of-fragment"
	TopicInFragments        Defect = "topic-in-every-fragment"
	TopicLost               Defect = "topic-lost"
	DataQoSLost             Defect = "received-qos-lost"
	SegmentRestLost         Defect = "one-packet-per-segment"
	ReceiveMaximumIgnored   Defect = "receive-maximum-ignored"
	TopicAliasForgotten     Defect = "topic-alias-forgotten"
	DisconnectReasonLost    Defect = "disconnect-reason-lost"
	PublishPropertiesKept   Defect = "publish-properties-kept"
	PublishPropertiesLost   Defect = "publish-properties-lost"
	ShortAcknowledgement    Defect = "acknowledgement-without-reason-code"
	DisconnectWithoutReason Defect = "disconnect-without-reason-code"
	FramesUnmasked          Defect = "websocket-frames-unmasked"
	TextFrames              Defect = "websocket-text-frames"
	PongMissing             Defect = "websocket-ping-unanswered"
	PongEmpty               Defect = "websocket-pong-empty"
	UpgradeUnchecked        Defect = "websocket-upgrade-unchecked"
	SubprotocolMissing      Defect = "websocket-subprotocol-missing"
	PathLost                Defect = "websocket-path-lost"
	BeforeConnectMissing    Defect = "before-connect-not-reported"
	DisconnectedTwice       Defect = "disconnected-reported-twice"
	EndNotReported          Defect = "end-of-connection-without-error"
	ErrorCodesLost          Defect = "error-codes-lost"
	ReconnectAtOnce         Defect = "reconnect-at-once"
	ReconnectBackoff        Defect = "reconnect-backoff"
	ReconnectRequestIgnored Defect = "reconnect-request-ignored"
	AutoReconnectAlways     Defect = "auto-reconnect-not-disabled"
	DisconnectWithoutPacket Defect = "disconnect-without-packet"
	RefreshNever            Defect = "refresh-never"
	StopReported            Defect = "stop-reported"
	UserPropertiesLost      Defect = "user-properties-not-sent"
	CorrelationDataLost     Defect = "correlation-data-not-sent"
	SharedUnsubscribeLost   Defect = "shared-unsubscribe-plain"
	SetURIReconnects        Defect = "set-uri-drops-connection"
	UserEventLost           Defect = "user-event-lost"
	UserEventHurryMissing   Defect = "user-event-waits-for-poll"
)

// defects says of each defect what has to find it, which rules it breaks, and what it does.
var defects = map[Defect]struct {
	measure     Measure
	rules, text string
}{
	ConnectTwice:            {Scenarios, "ESP-TASK-02", "sends CONNECT again after the connection was accepted"},
	ConnectWrongKeepAlive:   {Scenarios, "ESP-CFG-28", "CONNECT carries twice the configured keep alive"},
	ConnectCleanAlways:      {Scenarios, "ESP-CFG-27", "CONNECT asks for a clean session although a persistent one is configured"},
	CredentialsSwapped:      {Scenarios, "ESP-CONN-03", "CONNECT carries the password before the user name"},
	RefusalIgnored:          {Scenarios, "ESP-CACK-05", "takes a refusing CONNACK for an accepting one"},
	ConnackAwaitedForever:   {Scenarios, "ESP-CACK-02", "waits for CONNACK without a limit"},
	NoReconnect:             {Scenarios, "ESP-TASK-06", "never connects again after a lost connection"},
	NoPing:                  {Scenarios, "ESP-KA-02", "never sends PINGREQ"},
	PingLate:                {Scenarios, "ESP-KA-02", "sends PINGREQ only after one and a quarter of the keep alive"},
	MissingPingrespIgnored:  {Scenarios, "ESP-KA-03", "keeps a connection on which PINGRESP never came"},
	PingForgotten:           {Scenarios, "ESP-KA-01", "takes received packets for a reason not to send PINGREQ"},
	NoRetransmit:            {Scenarios, "ESP-OUTBOX-06", "never sends an unacknowledged PUBLISH again on a live connection"},
	RetransmitWithoutDUP:    {Scenarios, "ESP-OUTBOX-13", "sends an unacknowledged PUBLISH again without DUP"},
	RetransmitNewID:         {Scenarios, "ESP-OUTBOX-06", "sends an unacknowledged PUBLISH again under a new packet identifier"},
	DUPOnFirstSend:          {Scenarios, "ESP-OUTBOX-13 ESP-PUB-01", "sets DUP on the first transmission of a PUBLISH"},
	NoPubrelRetransmit:      {Scenarios, "ESP-OUTBOX-09", "never sends PUBREL again"},
	OutboxLostOnReconnect:   {Scenarios, "ESP-OUTBOX-11 ESP-OUTBOX-12", "forgets unacknowledged messages when the connection is lost"},
	NoSubscribeRetransmit:   {Scenarios, "ESP-OUTBOX-08", "never sends an unacknowledged SUBSCRIBE again"},
	OutboxNeverExpires:      {Scenarios, "ESP-OUTBOX-15", "keeps unacknowledged messages for ever"},
	PacketIDZero:            {Scenarios, "ESP-PID-01 ESP-PID-02", "uses packet identifier 0"},
	PubrelFlagsZero:         {Scenarios, "ESP-OUTBOX-03", "sends PUBREL with flag bits 0000"},
	NoPuback:                {Scenarios, "ESP-RX-20", "does not acknowledge a received QoS 1 PUBLISH"},
	PubackWrongID:           {Scenarios, "ESP-RX-20", "acknowledges a received QoS 1 PUBLISH under the next packet identifier"},
	PubackBeforePayload:     {Scenarios, "ESP-RX-20", "acknowledges a fragmented PUBLISH when its first fragment is there"},
	NoPubcomp:               {Scenarios, "ESP-RX-21", "does not answer PUBREL"},
	WillNotSent:             {Scenarios, "ESP-CONN-05", "leaves the last will out of CONNECT"},
	WillOnlyOnFirstConnect:  {Scenarios, "ESP-CONN-05", "leaves the last will out of CONNECT when it reconnects"},
	WillQoSZero:             {Scenarios, "ESP-CFG-25", "CONNECT asks for QoS 0 for the last will"},
	WillRetainLost:          {Scenarios, "ESP-CFG-26", "CONNECT leaves out the retain flag of the last will"},
	StopWithoutDisconnect:   {Scenarios, "ESP-TASK-14", "stops without sending DISCONNECT"},
	FragmentOffsetStuck:     {Scenarios, "ESP-RX-13", "reports every fragment of a large message at offset 0"},
	LastFragmentLost:        {Scenarios, "ESP-RX-13", "does not report the last fragment of a large message"},
	SentFragmentOverlaps:    {Scenarios, "ESP-PUB-04", "sends the last byte of a fragment again in the place of the next one's first"},
	RetransmitFirstFragment: {Scenarios, "ESP-PUB-05", "sends only the first fragment of a large message again, filled up with zeros"},
	BufferOffByOne:          {Scenarios, "ESP-RX-10", "cuts the last byte off a message that fills the input buffer exactly"},
	CredentialsNotDecoded:   {Transcripts, "ESP-URI-06", "takes user name and password of a URI without decoding them"},
	ClientIDOfWholeMAC:      {Transcripts, "ESP-CID-01", "makes the default client identifier of all six bytes of the MAC address"},
	NullClientIDReplaced:    {Transcripts, "ESP-CFG-16", "sends the default client identifier where none is asked for"},
	KeepAliveNotDisabled:    {Transcripts, "ESP-CFG-29", "sends the default keep alive although it is disabled"},
	WrongProtocolLevel:      {Transcripts, "ESP-CONN-01", "CONNECT carries the protocol level below the right one"},
	WillPayloadCut:          {Transcripts, "ESP-CFG-24 ESP-CONN-03", "CONNECT carries the first half of the last will's payload"},
	SessionExpiryLost:       {Transcripts, "ESP-CONN-08", "leaves the session expiry out of CONNECT"},
	ReceiveMaximumNotSent:   {Transcripts, "ESP-CONN-08", "leaves the receive maximum out of CONNECT"},
	SessionPresentLost:      {Transcripts, "ESP-CACK-08", "reports that no session is present, whatever CONNACK says"},
	AnyPacketAsConnack:      {Transcripts, "ESP-CACK-03", "takes the first packet of the broker for CONNACK"},
	RefusalCodeLost:         {Transcripts, "ESP-CACK-05 ESP-CACK-06", "reports every refusal with code 0"},
	RefusalWithoutError:     {Transcripts, "ESP-CACK-05 ESP-CACK-06", "posts no ERROR for a refusal"},
	SilenceReported:         {Transcripts, "ESP-CACK-02", "posts an ERROR when no CONNACK comes"},
	PingOnce:                {Transcripts, "ESP-KA-02", "sends only one PINGREQ"},
	PingrespIgnored:         {Transcripts, "ESP-KA-01 ESP-KA-03", "does not see PINGRESP"},
	ServerKeepAliveIgnored:  {Transcripts, "ESP-KA-06", "keeps to its own keep alive against the broker's"},
	OutboxLimitIgnored:      {Transcripts, "ESP-OUTBOX-20", "takes messages beyond the limit of the outbox"},
	OutboxFullAsFailure:     {Transcripts, "ESP-OUTBOX-20 ESP-PUB-10", "returns -1 and not -2 where the outbox is full"},
	NewestQueuedFirst:       {Transcripts, "ESP-OUTBOX-05", "sends queued messages from the newest to the oldest"},
	DeletedNotReported:      {Transcripts, "ESP-OUTBOX-15", "posts no DELETED for expired messages"},
	ExpiryFromInsertion:     {Transcripts, "ESP-OUTBOX-01 ESP-OUTBOX-16", "counts a queued message's time to expiry from its insertion"},
	RetransmitSlowly:        {Transcripts, "ESP-OUTBOX-06", "sends unacknowledged packets again after twice the set time"},
	NoRequeue:               {Transcripts, "ESP-OUTBOX-12", "in 5.0, sends new messages before those in flight after a reconnect"},
	AcknowledgementIgnored:  {Transcripts, "ESP-OUTBOX-02", "does not see PUBACK and PUBCOMP"},
	NoPubrel:                {Transcripts, "ESP-OUTBOX-03", "does not answer PUBREC"},
	OutboxKeptOverStop:      {Transcripts, "ESP-TASK-16", "keeps the outbox when it stops"},
	EnqueueSendsAtOnce:      {Transcripts, "ESP-PUB-20", "sends an enqueued message at once"},
	OfflineQoS0Kept:         {Transcripts, "ESP-PUB-12", "keeps a QoS 0 message that is published offline"},
	OfflineQoS1Refused:      {Transcripts, "ESP-PUB-11", "refuses QoS 1 and 2 messages while it is offline"},
	SkipOfflineIgnored:      {Transcripts, "ESP-PUB-10", "takes messages offline although the build says to skip them"},
	QoS2AsQoS1:              {Transcripts, "ESP-PUB-01", "sends QoS 2 messages with QoS 1"},
	RetainLost:              {Transcripts, "ESP-PUB-01", "sends retained messages without the retain flag"},
	PublishedNotReported:    {Transcripts, "ESP-OUTBOX-02", "posts no PUBLISHED"},
	PublishedForQoS0:        {Transcripts, "ESP-EVT-06", "posts PUBLISHED for QoS 0 messages"},
	SamePacketID:            {Transcripts, "ESP-PID-01 ESP-PID-02", "uses packet identifier 1 for everything"},
	PublishReturnsZero:      {Transcripts, "ESP-PUB-11", "returns 0 from a publish with QoS 1 or 2"},
	SubscribeOfflineTaken:   {Transcripts, "ESP-SUB-01", "takes a subscription while it is offline"},
	SubscribeQoSZero:        {Transcripts, "ESP-SUB-02", "subscribes with QoS 0"},
	RequestFlagsZero:        {Transcripts, "ESP-SUB-02 ESP-SUB-04", "sends SUBSCRIBE and UNSUBSCRIBE with flag bits 0000"},
	SubackFailureHidden:     {Transcripts, "ESP-SUB-07", "reports a refused subscription as a granted one"},
	SubackIgnored:           {Transcripts, "ESP-SUB-07", "does not see SUBACK"},
	UnsubackIgnored:         {Transcripts, "ESP-SUB-10", "does not see UNSUBACK"},
	NoPubrec:                {Transcripts, "ESP-RX-20", "does not acknowledge a received QoS 2 PUBLISH"},
	PubackForQoS2:           {Transcripts, "ESP-RX-20", "acknowledges a received QoS 2 PUBLISH by PUBACK"},
	StalledPacketKept:       {Transcripts, "ESP-RX-05", "waits for the rest of a packet for ever"},
	InvalidHeaderIgnored:    {Transcripts, "ESP-RX-02", "skips bytes with which no packet can begin"},
	TotalOfFragment:         {Transcripts, "ESP-RX-12", "reports the first fragment's length as that of the message"},
	TopicInFragments:        {Transcripts, "ESP-RX-13", "reports the topic with every fragment"},
	TopicLost:               {Transcripts, "ESP-RX-10 ESP-RX-12", "reports messages without their topic"},
	DataQoSLost:             {Transcripts, "ESP-RX-10 ESP-RX-13", "reports received messages with QoS 0"},
	SegmentRestLost:         {Transcripts, "ESP-RX-01", "forgets what comes behind a packet in the same segment"},
	ReceiveMaximumIgnored:   {Transcripts, "ESP-V5-10", "sends more messages at once than the broker's receive maximum"},
	TopicAliasForgotten:     {Transcripts, "ESP-V5-20", "does not remember the broker's topic aliases"},
	DisconnectReasonLost:    {Transcripts, "ESP-V5-32", "reports the broker's DISCONNECT without its reason code"},
	PublishPropertiesKept:   {Transcripts, "ESP-V5-01", "uses publish properties for every message from then on"},
	PublishPropertiesLost:   {Transcripts, "ESP-V5-01", "sends messages without the properties that were set"},
	ShortAcknowledgement:    {Transcripts, "ESP-RX-20", "in 5.0, sends acknowledgements without reason code"},
	DisconnectWithoutReason: {Transcripts, "ESP-V5-02", "in 5.0, sends DISCONNECT without reason code"},
	FramesUnmasked:          {Transcripts, "ESP-WS-04", "sends frames without a mask"},
	TextFrames:              {Transcripts, "ESP-WS-04", "sends text frames"},
	PongMissing:             {Transcripts, "ESP-WS-06", "does not answer PING"},
	PongEmpty:               {Transcripts, "ESP-WS-06", "answers PING without its payload"},
	UpgradeUnchecked:        {Transcripts, "ESP-WS-02", "takes any answer for an upgrade"},
	SubprotocolMissing:      {Transcripts, "ESP-WS-01", "asks for an upgrade without a subprotocol"},
	PathLost:                {Transcripts, "ESP-WS-01 ESP-URI-08", "asks for the path / whatever the URI says"},
	BeforeConnectMissing:    {Transcripts, "ESP-TASK-02", "posts no BEFORE_CONNECT"},
	DisconnectedTwice:       {Transcripts, "ESP-TASK-06", "posts DISCONNECTED twice"},
	EndNotReported:          {Transcripts, "ESP-TCP-02", "posts no ERROR when the broker ends the connection"},
	ErrorCodesLost:          {Transcripts, "ESP-TCP-02", "posts ERROR without the codes of the transport"},
	ReconnectAtOnce:         {Transcripts, "ESP-TASK-06 ESP-TASK-08", "connects again without waiting"},
	ReconnectBackoff:        {Transcripts, "ESP-TASK-06", "waits longer before each attempt to connect again"},
	ReconnectRequestIgnored: {Transcripts, "ESP-TASK-09", "refuses to connect before its time"},
	AutoReconnectAlways:     {Transcripts, "ESP-TASK-10", "connects again by itself although that is disabled"},
	DisconnectWithoutPacket: {Transcripts, "ESP-TASK-03 ESP-TASK-11", "disconnects on request without sending DISCONNECT"},
	RefreshNever:            {Transcripts, "ESP-TASK-12", "never refreshes a connection"},
	StopReported:            {Transcripts, "ESP-TASK-17", "posts DISCONNECTED when it is stopped"},
	UserPropertiesLost:      {Transcripts, "ESP-CONN-08 ESP-CONN-10", "sends no user properties"},
	CorrelationDataLost:     {Transcripts, "ESP-CONN-10", "sends no correlation data"},
	SharedUnsubscribeLost:   {Transcripts, "ESP-SUB-04", "unsubscribes from the filter alone where the subscription is a shared one"},
	SetURIReconnects:        {Transcripts, "ESP-CFG-43", "drops its connection when it is given another URI"},
	UserEventLost:           {Transcripts, "ESP-EVT-12", "does not hand on the application's own events"},
	UserEventHurryMissing:   {Transcripts, "ESP-TASK-05", "lets the application's own events wait for the whole poll although it has a queue for several"},
}

// Text says in words what the defect does.
func (d Defect) Text() string { return defects[d].text }

// Rules are the ids of the rules that the defect breaks.
func (d Defect) Rules() []string { return strings.Fields(defects[d].rules) }

// Measure is what has to find the defect.
func (d Defect) Measure() Measure { return defects[d].measure }

// Defects returns all defects in the order of their names.
func Defects() []Defect { return slices.Sorted(maps.Keys(defects)) }

// ParseDefect returns the defect of that name.
func ParseDefect(name string) (Defect, error) {
	if d := Defect(name); d.Text() != "" {
		return d, nil
	}
	return "", fmt.Errorf("unknown defect %q", name)
}
