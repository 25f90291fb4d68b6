// kafka-go (segmentio) against a broker. Argument: the folder compat/.
package main

import (
	"fmt"
	"os"

	"github.com/segmentio/kafka-go"

	"felice/compat/battery"
	"felice/compat/broker"
	"felice/compat/check"
	"felice/compat/wiretap"
)

func main() {
	var b *broker.Broker
	code := check.Suite(func() {
		b = broker.Start(os.Args[1], battery.Settings...)
		tap := wiretap.New()
		battery.Run(b, segmentio{kafka.TCP(b.Address), tap})
		fmt.Printf("  it asked for %v\n", tap.Asked())
		b.Stop()
		check.Pass("the broker stops cleanly")
	}, func() {
		if b != nil {
			b.Log()
		}
	})
	if b != nil {
		b.Remove()
	}
	os.Exit(code)
}
