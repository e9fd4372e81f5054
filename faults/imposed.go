package faults

import (
	"slices"
	"sync"
	"time"

	"mqtthil/harness/timeline"
)

// Imposed is a condition at work in a proxy.
type Imposed struct {
	proxy  *Proxy
	number int

	mu        sync.Mutex
	condition Condition
	version   int                      // counts Replace
	shared    [BrokerToDevice + 1]path // what all connections share, by direction
	met       int
	due       []*time.Timer // at which it begins or ends to stand
}

// Number is the condition's number in the proxy, counted from 1.
func (i *Imposed) Number() int { return i.number }

// Condition is what is imposed.
func (i *Imposed) Condition() Condition {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.condition
}

// Met returns how many connections have met the condition.
func (i *Imposed) Met() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.met
}

// Replace puts another condition in the place of this one, on connections that exist, too.
func (i *Imposed) Replace(c Condition) {
	must(c.check())
	i.set(c)
	i.proxy.conditionsChanged("replaced by: " + c.String())
}

// set takes a condition over.
func (i *Imposed) set(c Condition) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.condition = c
	i.version++
	i.stopTimers()
	if c.during != nil {
		i.changeAt(time.Duration(c.during.From), "begins")
		i.changeAt(time.Duration(c.during.To), "over")
	}
	i.shared = [BrokerToDevice + 1]path{}
	if s, ok := c.kind.(interface{ sharedPath() path }); ok {
		i.shared[DeviceToBroker], i.shared[BrokerToDevice] = s.sharedPath(), s.sharedPath()
	}
}

// changeAt has the proxy look again at a time since it was made. The caller holds mu.
func (i *Imposed) changeAt(at time.Duration, what string) {
	if in := time.Until(i.proxy.began.Add(at)); in > 0 {
		text := what + ": " + i.condition.String()
		i.due = append(i.due, time.AfterFunc(in, func() { i.proxy.conditionsChanged(text) }))
	}
}

// stopTimers is for who holds mu.
func (i *Imposed) stopTimers() {
	for _, timer := range i.due {
		timer.Stop()
	}
	i.due = nil
}

// stands says whether it is the condition's time.
func (i *Imposed) stands() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.condition.during == nil || i.condition.during.contains(time.Since(i.proxy.began))
}

// Remove takes the condition away, on connections that exist, too. What it has lost stays lost.
func (i *Imposed) Remove() {
	i.proxy.mu.Lock()
	before := len(i.proxy.conditions)
	i.proxy.conditions = slices.DeleteFunc(i.proxy.conditions, func(other *Imposed) bool { return other == i })
	removed := len(i.proxy.conditions) < before
	i.proxy.mu.Unlock()
	i.mu.Lock()
	i.stopTimers()
	i.mu.Unlock()
	if removed {
		i.proxy.conditionsChanged("over: " + i.String())
	}
}

// EndConnections ends the connections that have met the condition, and returns how many those are.
func (i *Imposed) EndConnections(how Ending) int {
	var met []*link
	for _, l := range i.proxy.present() {
		if l.meets(i) {
			met = append(met, l)
		}
	}
	i.proxy.disconnect("every connection with "+i.String(), how, met)
	return len(met)
}

// String says the condition in words.
func (i *Imposed) String() string { return i.Condition().String() }

// meets decides whether a connection meets the condition.
func (i *Imposed) meets(connection int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.condition.share == nil ||
		chance(i.proxy.options.Seed, whetherConditionHolds, i.number, connection, 0, i.version).Float64() < *i.condition.share
}

// count counts a connection that has met the condition.
func (i *Imposed) count() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.met++
}

// pathFor makes what one direction of a connection keeps of the condition; nil where that is nothing.
func (i *Imposed) pathFor(connection int, d Direction) path {
	i.mu.Lock()
	defer i.mu.Unlock()
	c, ok := i.condition.kind.(carrier)
	if !ok || !i.condition.concerns(d) {
		return nil
	}
	if i.shared[d] != nil {
		return i.shared[d]
	}
	return c.path(chance(i.proxy.options.Seed, howConditionActs, i.number, connection, d, i.version))
}

// standing is a condition that a connection has met.
type standing struct {
	imposed *Imposed
	version int
	meets   bool
	fuse    *time.Timer
	paths   [BrokerToDevice + 1]path
}

// impose brings the link's conditions up to date. What stands already, and has not changed, stands on.
func (l *link) impose(conditions []*Imposed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var now []*standing
	for _, i := range conditions {
		i.mu.Lock()
		version := i.version
		i.mu.Unlock()
		at := slices.IndexFunc(l.standing, func(s *standing) bool { return s.imposed == i && s.version == version })
		if at >= 0 {
			now = append(now, l.standing[at])
			continue
		}
		s := &standing{imposed: i, version: version, meets: i.meets(l.number)}
		now = append(now, s)
		if !s.meets {
			continue
		}
		if !l.hasMet(i) {
			i.count()
		}
		for _, f := range l.flows {
			p := i.pathFor(l.number, f.direction)
			if h, ok := p.(heir); ok {
				h.inherit(l.pathOf(i, f.direction))
			}
			s.paths[f.direction] = p
		}
		if k, ok := i.Condition().kind.(fused); ok {
			l.light(s, k)
		}
	}
	for _, s := range l.standing {
		if s.fuse != nil && !slices.Contains(now, s) {
			s.fuse.Stop()
		}
	}
	l.standing = now
	for _, f := range l.flows {
		f.setPaths(now)
	}
}

// pathOf is what stands of a condition in one direction, nil where that is nothing. The caller holds mu.
func (l *link) pathOf(i *Imposed, d Direction) path {
	for _, s := range l.standing {
		if s.imposed == i {
			return s.paths[d]
		}
	}
	return nil
}

// meets says whether the connection has met a condition.
func (l *link) meets(i *Imposed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hasMet(i)
}

// hasMet says whether the connection has met the condition before: as it was before Replace, or when it came. The caller
// holds mu.
func (l *link) hasMet(i *Imposed) bool {
	switch i.Condition().kind.(type) {
	case slowAccept, neverAnswer, refuse:
		return true
	}
	return slices.ContainsFunc(l.standing, func(s *standing) bool { return s.imposed == i && s.meets })
}

// light has a condition end the link in time. The caller holds mu.
func (l *link) light(s *standing, k fused) {
	after, how := k.fuse()
	if how == "" || l.ending != "" {
		return
	}
	condition := s.imposed.String()
	s.fuse = time.AfterFunc(after, func() {
		if l.hasEnded() {
			return
		}
		l.note(timeline.Event{Kind: timeline.KindFault, Conn: l.number, Fault: &timeline.Fault{
			Text: condition, Action: "cut with " + how.text(),
		}})
		l.end(how)
	})
}

// extinguish stops what would end the link by itself.
func (l *link) extinguish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.standing {
		if s.fuse != nil {
			s.fuse.Stop()
		}
	}
}
