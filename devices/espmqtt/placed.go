package espmqtt

import "encoding/binary"

// placed are properties that lie in the input buffer. The real client takes some of them without a look at where the list
// ends, out of whatever lies behind it (ESP-QRK-34).
type placed struct {
	properties
	client *client
	start  int          // of the list, counted from the start of the buffer
	list   []byte       // all of it
	beyond int          // how far behind its end the client has come
	wraps  map[int]bool // where a length has led back to
}

// propertiesAt are n bytes of properties, the first of them so many bytes behind the start of the input buffer.
func (c *client) propertiesAt(start, n int) *placed {
	list := c.memory(start, n)
	return &placed{properties: properties{rest: list}, client: c, start: start, list: list}
}

// offset is how many bytes have been taken.
func (p *placed) offset() int { return len(p.list) - len(p.rest) + p.beyond }

// careless takes n bytes without a look at where the list ends.
func (p *placed) careless(n int) []byte {
	if !p.client.does(QuirkPropertiesBeyondBuffer) {
		return p.bytes(n)
	}
	return p.client.memory(p.pass(n), n)
}

// carelessText takes a text in the same way.
func (p *placed) carelessText() place {
	if !p.client.does(QuirkPropertiesBeyondBuffer) {
		return p.located(p.text())
	}
	length := int(binary.BigEndian.Uint16(p.careless(2)))
	return place{at: p.pass(length), length: length}
}

// pass goes on behind the next n bytes, and says where they lie. The client counts in 16 bits, so that a length that lies
// may lead it back into the list, and round and round for ever.
func (p *placed) pass(n int) (at int) {
	before := p.offset()
	next := (before + n) & 0xffff
	p.rest, p.beyond = p.list[min(next, len(p.list)):], max(next-len(p.list), 0)
	if next < before && len(p.rest) > 0 {
		if p.wraps[next] {
			<-p.client.power // nothing else ends it
			p.err = errProperties
		}
		if p.wraps == nil {
			p.wraps = map[int]bool{}
		}
		p.wraps[next] = true
	}
	return p.start + before
}

// located is where the text lies that was taken last.
func (p *placed) located(text []byte) place {
	return place{at: p.start + p.offset() - len(text), length: len(text)}
}

// place is where a text lies, counted from the start of the input buffer.
type place struct{ at, length int }

// located are the texts of a PUBLISH that an event points to.
type located struct{ contentType, responseTopic, correlationData place }

// readTexts gives the event the texts that its pointers lead to: with every fragment of a message others.
func (c *client) readTexts() {
	p, texts := &c.event.Properties, &c.v5.texts
	p.ContentType = c.textIn(texts.contentType)
	p.ResponseTopic = c.textIn(texts.responseTopic)
	p.CorrelationData = c.textIn(texts.correlationData)
}

func (c *client) textIn(p place) []byte {
	if p.at == 0 {
		return nil // there is none
	}
	return c.memory(p.at, p.length)
}

// setRead sets a field to a value of a list of properties, unless that was where it went wrong.
func setRead[T any](p *placed, field *T, value T) {
	if p.err == nil {
		*field = value
	}
}
