package toxiproxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mqtthil/faults"
)

// metrics answers GET /metrics.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// The two that Toxiproxy has, under its names and labels, and those beside it.
var (
	receivedBytes = description("toxiproxy_proxy_received_bytes_total", "Bytes that came in.",
		"direction", "proxy", "listener", "upstream")
	sentBytes = description("toxiproxy_proxy_sent_bytes_total", "Bytes that went out.",
		"direction", "proxy", "listener", "upstream")

	connections    = description("mqtthil_proxy_connections", "Connections that there are.", "proxy")
	allConnections = description("mqtthil_proxy_connections_total", "Connections that got to the upstream.", "proxy")
	failures       = description("mqtthil_proxy_failed_connections_total",
		"Connections that did not get to the upstream, as when dialling it failed.", "proxy")
	packets     = description("mqtthil_proxy_packets_total", "MQTT packets that came in.", "proxy", "direction", "type")
	ruleMatched = description("mqtthil_rule_matched_total", "Packets that a rule fitted.", "proxy", "rule")
	ruleFired   = description("mqtthil_rule_fired_total", "Packets that a rule acted on.", "proxy", "rule")
)

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// collector reads the counts of all proxies when it is asked.
type collector struct{ server *Server }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		receivedBytes, sentBytes, connections, allConnections, failures, packets, ruleMatched, ruleFired,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		for i, l := range labels {
			labels[i] = strings.ToValidUTF8(l, "\uFFFD")
		}
		m, err := prometheus.NewConstMetric(d, kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		out <- m
	}
	count := func(d *prometheus.Desc, value uint64, labels ...string) {
		send(d, prometheus.CounterValue, float64(value), labels...)
	}
	for _, p := range c.server.Proxies() {
		traffic, listen, upstream := p.faults.Traffic(), p.Listen(), p.Upstream()
		send(connections, prometheus.GaugeValue, float64(p.faults.Connections()), p.name)
		count(allConnections, traffic.Connections, p.name)
		count(failures, traffic.Failed, p.name)
		for direction, counts := range map[string]faults.Counts{"upstream": traffic.FromDevice, "downstream": traffic.ToDevice} {
			count(receivedBytes, counts.Received, direction, p.name, listen, upstream)
			count(sentBytes, counts.Sent, direction, p.name, listen, upstream)
			for kind, n := range counts.Packets {
				if n > 0 {
					count(packets, n, p.name, direction, faults.PacketType(kind).String())
				}
			}
		}
		for _, a := range p.faults.Rules() {
			count(ruleMatched, uint64(a.Matched()), p.name, strconv.Itoa(a.Number()))
			count(ruleFired, uint64(a.Fired()), p.name, strconv.Itoa(a.Number()))
		}
	}
}
