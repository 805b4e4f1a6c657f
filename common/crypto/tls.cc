#include "common/crypto/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <memory>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace nark {
namespace {

using UniqueBio = std::unique_ptr<BIO, OpenSslFree<BIO_free>>;

// Reads the bytes where they lie; they must outlive it.
UniqueBio Reader(ByteView bytes) {
  if (bytes.size() > std::numeric_limits<int>::max()) return nullptr;
  return UniqueBio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

int IntSize(size_t size) {
  return static_cast<int>(std::min<size_t>(size, std::numeric_limits<int>::max()));
}

absl::Status Bad(std::string_view what) {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, what);
}

// A key in a file is never asked for a password on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

absl::Status UseCertificates(SSL_CTX& context, std::string_view pem) {
  const UniqueBio reader = Reader(AsBytes(pem));
  if (!reader) return Bad("the TLS certificates could not be read");
  UniqueX509 leaf(PEM_read_bio_X509(reader.get(), nullptr, NoPassword, nullptr));
  if (!leaf) return Bad("the TLS certificate is no PEM certificate");
  if (SSL_CTX_use_certificate(&context, leaf.get()) != 1) {
    return Bad("the TLS certificate can not be used");
  }
  while (UniqueX509 next{PEM_read_bio_X509(reader.get(), nullptr, NoPassword, nullptr)}) {
    if (SSL_CTX_add1_chain_cert(&context, next.get()) != 1) {
      return OpenSslError("SSL_CTX_add1_chain_cert");
    }
  }
  // The end of the text is queued as an error.
  const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return ended ? absl::OkStatus() : Bad("the TLS certificates end in no PEM certificate");
}

absl::StatusOr<Timestamp> TimeOf(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Bad("the TLS certificate's time is none");
  return Timestamp(std::chrono::seconds(timegm(&parts)));
}

std::vector<std::string> DnsNamesOf(const X509* certificate) {
  std::vector<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>> all(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; all != nullptr && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all.get(), i), &type);
    if (type != GEN_DNS) continue;
    const auto* text = static_cast<const ASN1_STRING*>(value);
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                       static_cast<size_t>(ASN1_STRING_length(text)));
  }
  return names;
}

}  // namespace

absl::Status ConfigureTlsServer(ssl_ctx_st& context, std::string_view certificates_pem,
                                const SecretBytes& key_pem) {
  if (SSL_CTX_set_min_proto_version(&context, TLS1_3_VERSION) != 1) {
    return OpenSslError("SSL_CTX_set_min_proto_version");
  }
  RETURN_IF_ERROR(UseCertificates(context, certificates_pem));
  const UniqueBio reader = Reader(key_pem.Reveal());
  if (!reader) return Bad("the TLS key could not be read");
  const UniquePkey key(PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassword, nullptr));
  if (!key) return Bad("the TLS key is no PEM private key");
  if (SSL_CTX_use_PrivateKey(&context, key.get()) != 1 ||
      SSL_CTX_check_private_key(&context) != 1) {
    return Bad("the TLS key is not the certificate's");
  }
  return absl::OkStatus();
}

absl::StatusOr<TlsLeaf> CheckTlsServer(std::string_view certificates_pem,
                                       const SecretBytes& key_pem) {
  const std::unique_ptr<SSL_CTX, OpenSslFree<SSL_CTX_free>> context(
      SSL_CTX_new(TLS_server_method()));
  if (!context) return OpenSslError("SSL_CTX_new");
  RETURN_IF_ERROR(ConfigureTlsServer(*context, certificates_pem, key_pem));
  const X509* leaf = SSL_CTX_get0_certificate(context.get());
  TlsLeaf found;
  ASSIGN_OR_RETURN(found.not_before, TimeOf(X509_get0_notBefore(leaf)));
  ASSIGN_OR_RETURN(found.not_after, TimeOf(X509_get0_notAfter(leaf)));
  found.dns_names = DnsNamesOf(leaf);
  return found;
}

void TlsConnection::Free::operator()(ssl_st* connection) const { SSL_free(connection); }

TlsConnection::TlsConnection(ssl_ctx_st& context, int fd) : connection_(SSL_new(&context)) {
  works_ = connection_ != nullptr && SSL_set_fd(connection_.get(), fd) == 1;
}

TlsStep TlsConnection::After(int result) {
  if (result > 0) return {result, TlsStep::Want::kNothing};
  switch (SSL_get_error(connection_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {-1, TlsStep::Want::kRead};
    case SSL_ERROR_WANT_WRITE:
      return {-1, TlsStep::Want::kWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {0, TlsStep::Want::kNothing};
    default:
      works_ = false;
      return {};
  }
}

TlsStep TlsConnection::Accept() {
  if (!works_) return {};
  ERR_clear_error();
  return After(SSL_accept(connection_.get()));
}

TlsStep TlsConnection::Read(MutableByteView to) {
  if (!works_) return {};
  ERR_clear_error();
  return After(SSL_read(connection_.get(), to.data(), IntSize(to.size())));
}

TlsStep TlsConnection::Write(ByteView from) {
  if (!works_) return {};
  ERR_clear_error();
  return After(SSL_write(connection_.get(), from.data(), IntSize(from.size())));
}

void TlsConnection::Close() {
  if (works_) SSL_shutdown(connection_.get());
  ERR_clear_error();
}

}  // namespace nark
