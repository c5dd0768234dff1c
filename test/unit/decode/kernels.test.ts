import t from 'tap'
import { createDecoder, isFrameFormat } from '../../../src/decode/formats.ts'
import { activeKernels, chooseKernels, jsKernels } from '../../../src/decode/kernels.ts'
import { VENUES, venueNamed } from '../../../src/decode/venues.ts'
import { FRAME_FORMAT } from '../../../src/ring/frame-format.ts'
import { InstrumentTable } from '../../../src/tick/instruments.ts'

t.test('the environment’s choice is the active one, once', async (t) => {
  const choice = process.env.TICKD_KERNELS ?? 'auto'
  t.equal(activeKernels(), chooseKernels(choice))
  t.equal(activeKernels(), activeKernels())
})

t.test('js is js, and an unknown choice is an error', async (t) => {
  t.equal(chooseKernels('js'), jsKernels)
  t.equal(jsKernels.name, 'js')
  t.throws(() => chooseKernels('simd'), { code: 'CONFIG_INVALID', message: /auto, js, native/ })
})

t.test('native is native, or an error that says so: never a silent fall-back', async (t) => {
  let name: string
  try {
    name = chooseKernels('native').name
  } catch (error) {
    t.match(error, { code: 'CONFIG_INVALID', message: /TICKD_KERNELS=native/ })
    return
  }
  t.equal(name, 'native')
})

t.test('every frame format has a decoder', async (t) => {
  const instruments = new InstrumentTable(InstrumentTable.create(2), 2)
  for (const format of Object.values(FRAME_FORMAT)) {
    t.ok(isFrameFormat(format))
    t.ok(createDecoder(format, { venue: 'v', instruments }))
  }
  t.notOk(isFrameFormat(0))
  t.throws(() => createDecoder(99, { venue: 'v', instruments }), /has a decoder/)
})

t.test('a venue is found by name, or the known ones are listed', async (t) => {
  for (const venue of VENUES) t.equal(venueNamed(venue.name), venue)
  t.throws(() => venueNamed('mtgox'), { code: 'USAGE', message: /'mtgox'.*binance-us, binance/ })
})
