// sarama against a broker. Argument: the folder compat/.
package main

import (
	"os"

	"github.com/IBM/sarama"

	"felice/compat/battery"
	"felice/compat/broker"
	"felice/compat/check"
)

func main() {
	var b *broker.Broker
	code := check.Suite(func() {
		b = broker.Start(os.Args[1], battery.Settings...)
		battery.Run(b, saramas{address: b.Address, version: sarama.DefaultVersion})
		check.Part("the versions of 17 releases", func() { everyVersion(b) })
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
