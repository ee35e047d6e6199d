// @kafkajs/confluent-schema-registry against a registry: see ../README.md for what a client program does.

import { randomUUID } from 'node:crypto'
import kafkajs from '@kafkajs/confluent-schema-registry'
import { order, record, remember, remembered, run, step } from './steps.mjs'

const { SchemaRegistry, SchemaType, COMPATIBILITY } = kafkajs
const subject = 'known-kafkajs-value'
const first = { type: SchemaType.AVRO, schema: record('kafkajs') }
const second = { type: SchemaType.AVRO, schema: record('kafkajs', { name: 'note', type: 'string', default: '' }) }
const [username, password] = (process.env.BASIC ?? '').split(/:(.*)/s)

// A client with empty caches, so that every step reaches the registry.
function fresh() {
  return new SchemaRegistry({ host: process.env.BASE_URL, ...(username && { auth: { username, password } }) }, {})
}

// The library cannot delete and cannot list.
async function call(method, path) {
  const headers = username ? { authorization: `Basic ${btoa(process.env.BASIC)}` } : {}
  const answer = await fetch(process.env.BASE_URL + path, { method, headers })
  return { status: answer.status, body: answer.status === 200 ? await answer.json() : undefined }
}

const register = async (subject, schema) =>
  (await fresh().register(schema, { subject, compatibility: COMPATIBILITY.BACKWARD })).id
const plain = value => ({ ...value })

async function online() {
  const subject = `throwaway-kafkajs-${randomUUID().slice(0, 8)}-value`
  const id = await step('register', () => register(subject, first))
  await step('register again', () => register(subject, first), id)
  await step('look up', () => fresh().getRegistryIdBySchema(subject, first), id)
  await step('latest', () => fresh().getLatestSchemaId(subject), id)
  await step('get a version', () => fresh().getRegistryId(subject, 1), id)
  const payload = await step('serialise', () => fresh().encode(id, order))
  await step('deserialise', async () => plain(await fresh().decode(payload)), order)
  const newer = await step('second version', () => register(subject, second))
  await step('latest is the second version', () => fresh().getLatestSchemaId(subject), newer)
  await step('versions', async () => (await call('GET', `/subjects/${subject}/versions`)).body, [1, 2])
  await step('soft delete', async () => (await call('DELETE', `/subjects/${subject}`)).body, [1, 2])
  await step('hard delete', async () => (await call('DELETE', `/subjects/${subject}?permanent=true`)).body, [1, 2])
  await step('deleted subject is gone', async () => (await call('GET', `/subjects/${subject}/versions`)).status, 404)

  const known = await step('known subject', () => register('known-kafkajs-value', first))
  const stored = await step('known subject, serialise', () => fresh().encode(known, order))
  await step('known subject, read back', async () => plain(await fresh().decode(stored)), order)
  remember('kafkajs', { payload: stored })
}

async function offline() {
  const { payload } = remembered('kafkajs')
  const id = payload.readInt32BE(1)
  await step('deserialise what was stored', async () => plain(await fresh().decode(payload)), order)
  await step('serialise', () => fresh().encode(id, order), payload)
  await step('register again', () => register(subject, first), id)
  await step('look up', () => fresh().getRegistryIdBySchema(subject, first), id)
  await step('latest', () => fresh().getLatestSchemaId(subject), id)
  await step('get a version', () => fresh().getRegistryId(subject, 1), id)
}

await run({ online, offline })
