import assert from 'node:assert/strict';
import { tapOffloads, tunOffload } from '../../../src/vm/tapOffloads';

const { csum, tso4, tso6, tsoEcn, ufo, uso4, uso6 } = tunOffload;

/** As QEMU 7.2 and 10.0 give it: names with a description behind them. */
function status(names: readonly string[], unknown?: number | bigint) {
  return {
    'guest-features': {
      'dev-features': names.map((name) => `VIRTIO_NET_F_${name}: Driver can receive it`),
      transports: ['VIRTIO_F_VERSION_1: Device compliant for v1 spec (legacy)'],
      ...(unknown !== undefined && { 'unknown-dev-features': unknown }),
    },
  };
}

describe('tapOffloads', () => {
  it('asks for what a Linux guest negotiates', () => {
    const linux = ['GUEST_CSUM', 'GUEST_TSO4', 'GUEST_TSO6', 'GUEST_ECN', 'GUEST_UFO', 'MRG_RXBUF'];
    assert.equal(tapOffloads(status(linux)), csum | tso4 | tso6 | tsoEcn | ufo);
    assert.equal(
      tapOffloads(status([...linux, 'GUEST_USO4', 'GUEST_USO6'])),
      csum | tso4 | tso6 | tsoEcn | ufo | uso4 | uso6,
    );
  });

  it('takes features that an old QEMU has no name for by their bits', () => {
    assert.equal(
      tapOffloads(status(['GUEST_CSUM'], (1n << 54n) | (1n << 55n))),
      csum | uso4 | uso6,
    );
    assert.equal(tapOffloads(status(['GUEST_CSUM', 'GUEST_TSO4'], 1099511627776)), csum | tso4);
  });

  it('asks for nothing that depends on what was not negotiated', () => {
    assert.equal(tapOffloads(status([])), 0);
    assert.equal(tapOffloads(status(['GUEST_TSO4', 'GUEST_UFO'])), 0);
    assert.equal(tapOffloads(status(['GUEST_CSUM', 'GUEST_ECN'])), csum);
    // What the device can, and not the guest.
    assert.equal(tapOffloads(status(['CSUM', 'HOST_TSO4'])), 0);
  });

  it('knows nothing from an answer of another shape', () => {
    for (const answer of [undefined, null, 'text', {}, { 'guest-features': {} }]) {
      assert.equal(tapOffloads(answer), undefined);
    }
  });
});
