package main

import (
	"errors"

	"github.com/IBM/sarama"

	"felice/compat/battery"
	"felice/compat/broker"
	"felice/compat/check"
	"felice/compat/wiretap"
)

// Releases after which sarama sends other versions of what it is asked to do here. Before 0.11, messages have an older format.
var releases = []sarama.KafkaVersion{
	sarama.V0_11_0_0, sarama.V1_0_0_0, sarama.V1_1_0_0, sarama.V2_0_0_0, sarama.V2_1_0_0, sarama.V2_2_0_0, sarama.V2_3_0_0, sarama.V2_4_0_0,
	sarama.V2_5_0_0, sarama.V2_6_0_0, sarama.V2_7_0_0, sarama.V2_8_0_0, sarama.V3_1_0_0, sarama.V3_6_0_0, sarama.V3_9_0_0, sarama.V4_0_0_0,
	sarama.MaxVersion,
}

// everyVersion tours with Config.Version at each release: once as it is by default, when sarama keeps to what the broker
// advertises, and once with the versions of that release whatever the broker says.
func everyVersion(b *broker.Broker) {
	helper := saramas{address: b.Address, version: sarama.DefaultVersion}
	chosen := releases
	if check.Scale() > 1 {
		chosen = nil
		for _, version := range sarama.SupportedVersions {
			if version.IsAtLeast(sarama.V0_11_0_0) {
				chosen = append(chosen, version)
			}
		}
	}
	for _, version := range chosen {
		for _, fixed := range []bool{false, true} {
			name := version.String()
			if fixed {
				name += "-fixed"
			}
			tap := wiretap.New()
			codecs := battery.Codecs[:4]
			if version.IsAtLeast(sarama.V2_1_0_0) {
				codecs = battery.Codecs
			}
			battery.Tour(b, helper, battery.Pinned{
				Client: saramas{address: b.Address, version: version, fixed: fixed, tap: tap},
				Name:   name,
				Tap:    tap,
				Codecs: codecs,
				Unable: func(failure error) bool { return errors.Is(failure, sarama.ErrUnsupportedVersion) },
			})
		}
	}
}
