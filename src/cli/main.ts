process.stdout.write('qemu-migration\n');
