import { givenOptions } from '../../vm/qemuOptions';
import type { Finding, PreflightInput, PreflightSide } from './types';

/** CPU, accelerator and identity: what the target takes without a word. */
export function machineFindings(input: PreflightInput): readonly Finding[] {
  return [...cpuFindings(input), ...acceleratorFinding(input), ...uuidFinding(input)];
}

function cpuFindings({ source, target }: PreflightInput): readonly Finding[] {
  const common = {
    id: 'cpu-model',
    level: 'warns',
    side: 'target',
    why: 'QEMU does not compare CPU models: the migration succeeds, and the guest may crash when it uses an instruction that the other CPU does not have.',
  } as const;
  const [here, there] = [source.inventory.cpus?.model, target.inventory.cpus?.model];
  if (here !== undefined && there !== undefined && here !== there) {
    return [
      {
        ...common,
        what: `The CPU models differ: ${here} and ${there}.`,
        nextStep: `Start the target with "-cpu ${cpuOption(source) ?? here}".`,
      },
    ];
  }
  const [given, other] = [cpuOption(source), cpuOption(target)];
  if (source.snapshot.process === undefined || target.snapshot.process === undefined) return [];
  // The features behind the model's name are in the command line only.
  if (features(given) === features(other)) return [];
  return [
    {
      ...common,
      what: `The CPU options differ: "${given ?? 'none'}" and "${other ?? 'none'}".`,
      nextStep:
        given === undefined
          ? 'Start the target without "-cpu".'
          : `Start the target with "-cpu ${given}".`,
    },
  ];
}

function cpuOption({ snapshot }: PreflightSide): string | undefined {
  return givenOptions(snapshot.process?.args ?? [], 'cpu').at(-1);
}

/** Without the model, which QEMU tells better, and in one order. */
function features(option: string | undefined): string {
  return (option?.split(',') ?? []).slice(1).sort().join();
}

function acceleratorFinding({ source, target }: PreflightInput): readonly Finding[] {
  const [here, there] = [source.inventory.kvm, target.inventory.kvm];
  if (here === undefined || there === undefined || here === there) return [];
  return [
    {
      id: 'accelerator',
      level: 'warns',
      side: 'target',
      what: `The ${here ? 'source' : 'target'} runs with KVM, the other side without.`,
      why: 'The two give the guest other CPU features and clocks, and the state of one may not load in the other.',
      nextStep: `Start the target with "-accel ${here ? 'kvm' : 'tcg'}".`,
    },
  ];
}

function uuidFinding({ source, target }: PreflightInput): readonly Finding[] {
  const [here, there] = [source.facts.uuid, target.facts.uuid];
  if (here === there) return [];
  return [
    {
      id: 'uuid-unchecked',
      level: 'tells',
      side: 'target',
      what: `The UUIDs differ: ${here ?? 'none'} and ${there ?? 'none'}.`,
      why: 'The target takes the guest all the same; after its next start the guest sees the new one.',
      nextStep:
        here === undefined
          ? 'Start the target without "-uuid" if that matters.'
          : `Start the target with "-uuid ${here}" if that matters.`,
    },
  ];
}
