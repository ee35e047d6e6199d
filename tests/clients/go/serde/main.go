// confluent-kafka-go's serde/avrov2 against a registry: see ../../README.md for what a client program does.
package main

import (
	"os"

	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/serde/avrov2"
	"outpost.test/clients/steps"
)

const topic = "known-go-serde"

// Order is what is written; the serialiser makes its schema from it.
type Order struct {
	ID     string `avro:"id"`
	Amount int64  `avro:"amount"`
}

var sample = Order{ID: "o-1", Amount: 42}

// A client with empty caches, so that every step reaches the registry.
func fresh() schemaregistry.Client {
	config := schemaregistry.NewConfig(os.Getenv("BASE_URL"))
	if user, password, any := steps.Credentials(); any {
		config = schemaregistry.NewConfigWithBasicAuthentication(os.Getenv("BASE_URL"), user, password)
	}
	config.SslCaLocation = os.Getenv("CA_FILE")
	client, err := schemaregistry.NewClient(config)
	if err != nil {
		panic(err)
	}
	return client
}

func registering(*avrov2.SerializerConfig) {}

func withLatest(config *avrov2.SerializerConfig) {
	config.AutoRegisterSchemas = false
	config.UseLatestVersion = true
}

func withLookUp(config *avrov2.SerializerConfig) {
	config.AutoRegisterSchemas = false
}

func serialise(topic string, set func(*avrov2.SerializerConfig)) func() ([]byte, error) {
	return func() ([]byte, error) {
		config := avrov2.NewSerializerConfig()
		set(config)
		serialiser, err := avrov2.NewSerializer(fresh(), serde.ValueSerde, config)
		if err != nil {
			return nil, err
		}
		return serialiser.Serialize(topic, &sample)
	}
}

func deserialise(topic string, payload []byte) func() (Order, error) {
	return func() (Order, error) {
		var got Order
		deserialiser, err := avrov2.NewDeserializer(fresh(), serde.ValueSerde, avrov2.NewDeserializerConfig())
		if err == nil {
			err = deserialiser.DeserializeInto(topic, payload, &got)
		}
		return got, err
	}
}

func online() {
	topic := steps.Throwaway("go-serde")
	payload := steps.Do("serialise, schema registered on the way", serialise(topic, registering))
	steps.Expect("serialise with the latest version", payload, serialise(topic, withLatest))
	steps.Expect("serialise with a look-up", payload, serialise(topic, withLookUp))
	steps.Expect("deserialise", sample, deserialise(topic, payload))
	steps.Do("soft delete", func() ([]int, error) { return fresh().DeleteSubject(topic+"-value", false) })
	steps.Do("hard delete", func() ([]int, error) { return fresh().DeleteSubject(topic+"-value", true) })

	known := steps.Do("known subject", serialise("known-go-serde", registering))
	steps.Expect("known subject, read back", sample, deserialise("known-go-serde", known))
	steps.Remember("go-serde", steps.Known{Bytes: known})
}

func offline() {
	known := steps.Remembered("go-serde")
	steps.Expect("deserialise what was stored", sample, deserialise(topic, known.Bytes))
	steps.Expect("serialise, schema registered on the way", known.Bytes, serialise(topic, registering))
	steps.Expect("serialise with the latest version", known.Bytes, serialise(topic, withLatest))
	steps.Expect("serialise with a look-up", known.Bytes, serialise(topic, withLookUp))
}

func main() {
	steps.Run(online, offline)
}
