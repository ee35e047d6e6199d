// franz-go's pkg/sr against a registry: see ../../README.md for what a client program does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/sr"
	"outpost.test/clients/steps"
)

const subject = "known-franz-value"

type order struct {
	ID     string `json:"id"`
	Amount int64  `json:"amount"`
}

var (
	ctx    = context.Background()
	sample = order{ID: "o-1", Amount: 42}
	first  = sr.Schema{Schema: steps.Record("franz", "")}
	second = sr.Schema{Schema: steps.Record("franz", steps.Note)}
	broken = sr.Schema{Schema: steps.Record("franz", steps.BareNote)}
)

func connect() *sr.Client {
	options := []sr.ClientOpt{sr.URLs(os.Getenv("BASE_URL"))}
	if user, password, any := steps.Credentials(); any {
		options = append(options, sr.BasicAuth(user, password))
	}
	client, err := sr.NewClient(options...)
	if err != nil {
		panic(err)
	}
	return client
}

// The library frames payloads and leaves their format to its user; JSON keeps this program free of another library.
func serde(id int) *sr.Serde {
	serde := sr.NewSerde()
	serde.Register(id, order{},
		sr.EncodeFn(func(value any) ([]byte, error) { return json.Marshal(value) }),
		sr.DecodeFn(func(text []byte, value any) error { return json.Unmarshal(text, value) }))
	return serde
}

func decode(serde *sr.Serde, payload []byte) (order, error) {
	var got order
	err := serde.Decode(payload, &got)
	return got, err
}

func id(found sr.SubjectSchema, err error) (int, error) { return found.ID, err }

func fields(schema sr.Schema, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return steps.Fields(schema.Schema)
}

func status(err error) (int, error) {
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode, nil
	}
	return 0, err
}

func online(client *sr.Client) {
	subject := steps.Throwaway("franz") + "-value"
	registered := steps.Do("register", func() (int, error) { return id(client.CreateSchema(ctx, subject, first)) })
	steps.Expect("register again", registered, func() (int, error) { return id(client.CreateSchema(ctx, subject, first)) })
	steps.Expect("look up", registered, func() (int, error) { return id(client.LookupSchema(ctx, subject, first)) })
	steps.Expect("get by id", []string{"id", "amount"}, func() ([]string, error) { return fields(client.SchemaByID(ctx, registered)) })
	steps.Expect("latest", registered, func() (int, error) { return id(client.SchemaByVersion(ctx, subject, -1)) })
	steps.Expect("get a version", registered, func() (int, error) { return id(client.SchemaByVersion(ctx, subject, 1)) })
	steps.Expect("versions", []int{1}, func() ([]int, error) { return client.SubjectVersions(ctx, subject) })
	steps.Expect("subjects", true, func() (bool, error) {
		all, err := client.Subjects(ctx)
		return slices.Contains(all, subject), err
	})
	steps.Expect("versions of an id", true, func() (bool, error) {
		all, err := client.SchemaVersionsByID(ctx, registered)
		return slices.Contains(all, sr.SubjectVersion{Subject: subject, Version: 1}), err
	})
	steps.Expect("set compatibility", sr.CompatFull, func() (sr.CompatibilityLevel, error) {
		result := client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFull}, subject)[0]
		return result.Level, result.Err
	})
	steps.Expect("get compatibility", sr.CompatFull, func() (sr.CompatibilityLevel, error) {
		result := client.Compatibility(ctx, subject)[0]
		return result.Level, result.Err
	})
	compatible := func(schema sr.Schema) func() (bool, error) {
		return func() (bool, error) {
			result, err := client.CheckCompatibility(ctx, subject, -1, schema)
			return result.Is, err
		}
	}
	steps.Expect("compatible", true, compatible(second))
	steps.Expect("incompatible", false, compatible(broken))
	steps.Expect("second version", 2, func() (int, error) {
		found, err := client.CreateSchema(ctx, subject, second)
		return found.Version, err
	})
	steps.Do("delete a version", func() (any, error) { return nil, client.DeleteSchema(ctx, subject, 2, sr.SoftDelete) })
	steps.Do("soft delete", func() ([]int, error) { return client.DeleteSubject(ctx, subject, sr.SoftDelete) })
	steps.Do("hard delete", func() ([]int, error) { return client.DeleteSubject(ctx, subject, sr.HardDelete) })
	steps.Expect("deleted subject is gone", 404, func() (int, error) {
		_, err := client.SubjectVersions(ctx, subject)
		return status(err)
	})

	leaveBehind(client)
}

func leaveBehind(client *sr.Client) {
	known := steps.Do("known subject", func() (int, error) { return id(client.CreateSchema(ctx, subject, first)) })
	payload := steps.Do("known subject, serialise", func() ([]byte, error) { return serde(known).Encode(sample) })
	steps.Expect("known subject, read back", sample, func() (order, error) { return decode(serde(known), payload) })
	steps.Remember("franz", steps.Known{ID: known, Bytes: payload})
}

func offline(client *sr.Client) {
	known := steps.Remembered("franz")
	steps.Expect("deserialise what was stored", sample, func() (order, error) {
		written, _, err := sr.NewSerde().DecodeID(known.Bytes)
		if err != nil {
			return order{}, err
		}
		if _, err := client.SchemaByID(ctx, written); err != nil {
			return order{}, err
		}
		return decode(serde(written), known.Bytes)
	})
	steps.Expect("serialise, schema registered on the way", known.Bytes, func() ([]byte, error) {
		found, err := client.CreateSchema(ctx, subject, first)
		if err != nil {
			return nil, err
		}
		return serde(found.ID).Encode(sample)
	})
	steps.Expect("serialise with the latest version", known.Bytes, func() ([]byte, error) {
		found, err := client.SchemaByVersion(ctx, subject, -1)
		if err != nil {
			return nil, err
		}
		return serde(found.ID).Encode(sample)
	})
	steps.Expect("look up", known.ID, func() (int, error) { return id(client.LookupSchema(ctx, subject, first)) })
	steps.Expect("get by id", []string{"id", "amount"}, func() ([]string, error) { return fields(client.SchemaByID(ctx, known.ID)) })
	steps.Expect("versions", []int{1}, func() ([]int, error) { return client.SubjectVersions(ctx, subject) })
	steps.Expect("subjects", true, func() (bool, error) {
		all, err := client.Subjects(ctx)
		return slices.Contains(all, subject), err
	})
}

func main() {
	client := connect()
	steps.Run(func() { online(client) }, func() { offline(client) })
}
