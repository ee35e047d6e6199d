// confluent-kafka-go's schemaregistry against a registry: see ../../README.md for what a client program does.
package main

import (
	"errors"
	"os"
	"slices"

	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry"
	"github.com/confluentinc/confluent-kafka-go/v2/schemaregistry/rest"
	"outpost.test/clients/steps"
)

const subject = "known-confluent-go-value"

var (
	first  = schemaregistry.SchemaInfo{Schema: steps.Record("confluent_go", ""), SchemaType: "AVRO"}
	second = schemaregistry.SchemaInfo{Schema: steps.Record("confluent_go", steps.Note), SchemaType: "AVRO"}
	broken = schemaregistry.SchemaInfo{Schema: steps.Record("confluent_go", steps.BareNote), SchemaType: "AVRO"}
)

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

func fields(schema schemaregistry.SchemaInfo, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return steps.Fields(schema.Schema)
}

func holds(all []string, err error) func(string) (bool, error) {
	return func(subject string) (bool, error) { return slices.Contains(all, subject), err }
}

func status(err error) (int, error) {
	var answer *rest.Error
	if errors.As(err, &answer) {
		return answer.Code, nil
	}
	return 0, err
}

func online() {
	subject := steps.Throwaway("confluent-go") + "-value"
	id := steps.Do("register", func() (int, error) { return fresh().Register(subject, first, false) })
	steps.Expect("register again, with the whole answer", id, func() (int, error) {
		answer, err := fresh().RegisterFullResponse(subject, first, false)
		return answer.ID, err
	})
	steps.Expect("look up", id, func() (int, error) { return fresh().GetID(subject, first, false) })
	steps.Expect("version of a schema", 1, func() (int, error) { return fresh().GetVersion(subject, first, false) })
	steps.Expect("get by id", []string{"id", "amount"}, func() ([]string, error) { return fields(fresh().GetBySubjectAndID(subject, id)) })
	steps.Expect("latest", id, func() (int, error) {
		answer, err := fresh().GetLatestSchemaMetadata(subject)
		return answer.ID, err
	})
	steps.Expect("get a version", id, func() (int, error) {
		answer, err := fresh().GetSchemaMetadata(subject, 1)
		return answer.ID, err
	})
	steps.Expect("versions", []int{1}, func() ([]int, error) { return fresh().GetAllVersions(subject) })
	steps.Expect("subjects", true, func() (bool, error) { return holds(fresh().GetAllSubjects())(subject) })
	steps.Expect("set compatibility", schemaregistry.Full, func() (schemaregistry.Compatibility, error) {
		return fresh().UpdateCompatibility(subject, schemaregistry.Full)
	})
	steps.Expect("get compatibility", schemaregistry.Full, func() (schemaregistry.Compatibility, error) {
		return fresh().GetCompatibility(subject)
	})
	steps.Expect("compatible", true, func() (bool, error) { return fresh().TestCompatibility(subject, 1, second) })
	steps.Expect("incompatible", false, func() (bool, error) { return fresh().TestCompatibility(subject, 1, broken) })
	steps.Do("second version", func() (int, error) { return fresh().Register(subject, second, false) })
	steps.Expect("versions after it", []int{1, 2}, func() ([]int, error) { return fresh().GetAllVersions(subject) })
	steps.Expect("delete a version", 2, func() (int, error) { return fresh().DeleteSubjectVersion(subject, 2, false) })
	steps.Do("soft delete", func() ([]int, error) { return fresh().DeleteSubject(subject, false) })
	steps.Do("hard delete", func() ([]int, error) { return fresh().DeleteSubject(subject, true) })
	steps.Expect("deleted subject is gone", 40401, func() (int, error) {
		_, err := fresh().GetAllVersions(subject)
		return status(err)
	})

	known := steps.Do("known subject", func() (int, error) { return fresh().Register("known-confluent-go-value", first, false) })
	steps.Remember("confluent-go", steps.Known{ID: known})
}

func offline() {
	known := steps.Remembered("confluent-go")
	steps.Expect("register again", known.ID, func() (int, error) { return fresh().Register(subject, first, false) })
	steps.Expect("look up", known.ID, func() (int, error) { return fresh().GetID(subject, first, false) })
	steps.Expect("get by id", []string{"id", "amount"}, func() ([]string, error) { return fields(fresh().GetBySubjectAndID(subject, known.ID)) })
	steps.Expect("latest", known.ID, func() (int, error) {
		answer, err := fresh().GetLatestSchemaMetadata(subject)
		return answer.ID, err
	})
	steps.Expect("versions", []int{1}, func() ([]int, error) { return fresh().GetAllVersions(subject) })
	steps.Expect("subjects", true, func() (bool, error) { return holds(fresh().GetAllSubjects())(subject) })
}

func main() {
	steps.Run(online, offline)
}
