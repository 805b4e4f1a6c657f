#ifndef NARK_COMMON_WIRE_CIPHER_SUITES_H_
#define NARK_COMMON_WIRE_CIPHER_SUITES_H_

#include "common/wire/cipher.h"

namespace nark::wire {

// The suites of the registry, a file each. Each lives as long as the process.
const CipherSuite& Aes128Gcm();
const CipherSuite& Aes256Gcm();
const CipherSuite& ChaCha20Poly1305();
const CipherSuite& ChameleonCipher();
const CipherSuite& DesCbcSuite();

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_CIPHER_SUITES_H_
