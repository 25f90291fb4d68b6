// franz-go against a broker. Argument: the folder compat/.
package main

import (
	"os"

	"felice/compat/battery"
	"felice/compat/broker"
	"felice/compat/check"
)

func main() {
	var b *broker.Broker
	code := check.Suite(func() {
		b = broker.Start(os.Args[1], battery.Settings...)
		client := franz{address: b.Address}
		battery.Run(b, client)
		check.Part("out of range", func() { resets(client) })
		check.Part("fetch sessions", func() { sessions(client) })
		check.Part("the versions of 23 releases", func() { everyVersion(b) })
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
