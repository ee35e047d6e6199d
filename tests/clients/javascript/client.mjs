// @confluentinc/schemaregistry against a registry: see ../README.md for what a client program does.

import { randomUUID } from 'node:crypto'
import { AvroDeserializer, AvroSerializer, Compatibility, SchemaRegistryClient, SerdeType } from '@confluentinc/schemaregistry'
import { order, record, remember, remembered, run, step } from './steps.mjs'

const topic = 'known-javascript'
const subject = `${topic}-value`
const first = { schemaType: 'AVRO', schema: record('javascript') }
const second = { schemaType: 'AVRO', schema: record('javascript', { name: 'note', type: 'string', default: '' }) }
const broken = { schemaType: 'AVRO', schema: record('javascript', { name: 'note', type: 'string' }) }

// A client with empty caches, so that every step reaches the registry.
function fresh() {
  const settings = { baseURLs: [process.env.BASE_URL] }
  if (process.env.BASIC) {
    settings.basicAuthCredentials = { credentialsSource: 'USER_INFO', userInfo: process.env.BASIC }
  }
  return new SchemaRegistryClient(settings)
}

const fields = info => JSON.parse(info.schema).fields.map(field => field.name)
const plain = value => ({ ...value })

async function serialise(topic, settings) {
  return new AvroSerializer(fresh(), SerdeType.VALUE, settings).serialize(topic, order)
}

async function deserialise(topic, payload) {
  return plain(await new AvroDeserializer(fresh(), SerdeType.VALUE, {}).deserialize(topic, payload))
}

async function statusOf(subject) {
  try {
    await fresh().getLatestSchemaMetadata(subject)
  } catch (why) {
    return why.status
  }
}

async function online() {
  const topic = `throwaway-javascript-${randomUUID().slice(0, 8)}`
  const subject = `${topic}-value`
  const id = await step('register', () => fresh().register(subject, first))
  await step('register again, with the whole answer', async () => (await fresh().registerFullResponse(subject, first)).id, id)
  await step('look up', () => fresh().getId(subject, first), id)
  await step('get by id', async () => fields(await fresh().getBySubjectAndId(subject, id)), ['id', 'amount'])
  await step('latest', async () => (await fresh().getLatestSchemaMetadata(subject)).version, 1)
  await step('get a version', async () => (await fresh().getSchemaMetadata(subject, 1)).id, id)
  await step('versions', () => fresh().getAllVersions(subject), [1])
  await step('version of a schema', () => fresh().getVersion(subject, first), 1)
  await step('subjects', async () => (await fresh().getAllSubjects()).includes(subject), true)
  await step('set compatibility', () => fresh().updateCompatibility(subject, Compatibility.FULL), 'FULL')
  await step('get compatibility', () => fresh().getCompatibility(subject), 'FULL')
  await step('compatible', () => fresh().testCompatibility(subject, 1, second), true)
  await step('incompatible', () => fresh().testCompatibility(subject, 1, broken), false)
  await step('serialise with the latest version', async () =>
    deserialise(topic, await serialise(topic, { useLatestVersion: true, autoRegisterSchemas: false })), order)
  await step('second version', async () => {
    await fresh().register(subject, second)
    return fresh().getAllVersions(subject)
  }, [1, 2])
  await step('delete a version', () => fresh().deleteSubjectVersion(subject, 2), 2)
  await step('soft delete', async () => (await fresh().deleteSubject(subject)).includes(1) && statusOf(subject), 404)
  await step('hard delete', async () => (await fresh().deleteSubject(subject, true)).includes(1) && statusOf(subject), 404)

  await step('known subject', async () => (await fresh().register('known-javascript-value', first)) > 0, true)
  const payload = await step('known subject, serialise', () =>
    serialise('known-javascript', { useLatestVersion: true, autoRegisterSchemas: false }))
  await step('known subject, read back', () => deserialise('known-javascript', payload), order)
  const automatic = await step('known subject, schema registered on the way', () => serialise('automatic-javascript', { autoRegisterSchemas: true }))
  await step('it is read back', () => deserialise('automatic-javascript', automatic), order)
  remember('javascript', { payload, automatic })
}

async function offline() {
  const { payload, automatic } = remembered('javascript')
  const id = payload.readInt32BE(1)
  await step('deserialise what was stored', () => deserialise(topic, payload), order)
  await step('serialise with useLatestVersion', () =>
    serialise(topic, { useLatestVersion: true, autoRegisterSchemas: false }), payload)
  await step('serialise with useSchemaId', () => serialise(topic, { useSchemaId: id, autoRegisterSchemas: false }), payload)
  await step('serialise with autoRegisterSchemas', () => serialise('automatic-javascript', { autoRegisterSchemas: true }), automatic)
  await step('register again', () => fresh().register(subject, first), id)
  await step('look up', () => fresh().getId(subject, first), id)
  await step('get by id', async () => fields(await fresh().getBySubjectAndId(subject, id)), ['id', 'amount'])
  await step('latest', async () => (await fresh().getLatestSchemaMetadata(subject)).id, id)
  await step('versions', () => fresh().getAllVersions(subject), [1])
  await step('subjects', async () => (await fresh().getAllSubjects()).includes(subject), true)
}

await run({ online, offline })
