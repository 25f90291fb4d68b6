package battery

import (
	"felice/compat/broker"
	"felice/compat/check"
)

// Settings are those of the broker that Run wants.
var Settings = []string{"auto.create.topics.enable=false"}

// Run is the whole battery. The broker has no topics before.
func Run(b *broker.Broker, client Client) {
	check.Part("admin", func() { administer(b, client) })
	check.Part("codecs", func() { everyCodec(b, client) })
	check.Part("shapes", func() { shapes(client); everyAcks(client); tooLarge(client); ownPartitioner(client) })
	check.Part("timestamps", func() { timestamps(b, client) })
	check.Part("consuming", func() { consuming(client) })
	check.Part("a topic made again", func() { madeAgain(client) })
	check.Part("200,000 messages", func() { manyMessages(client, Sending{Codec: "lz4", Idempotent: true}) })
	check.Part("restart and kill -9", func() { interrupted(b, client) })
}
