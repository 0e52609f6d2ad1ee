// SPDX-License-Identifier: Apache-2.0
#include "credentials.h"

#include <string>
#include <utility>

#include "settings.h"

namespace nearcall::proxy {

namespace {

struct Pem {
  std::string certificate;
  std::string key;
  std::string authorities;
};

absl::StatusOr<Pem> Read(const Tls& tls) {
  Pem pem;
  for (const auto& [path, text] : {std::pair(&tls.certificate(), &pem.certificate), std::pair(&tls.key(), &pem.key),
                                   std::pair(&tls.authorities(), &pem.authorities)}) {
    if (path->empty()) continue;
    absl::StatusOr<std::string> read = ReadFile(*path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return pem;
}

}  // namespace

absl::StatusOr<std::shared_ptr<::grpc::ServerCredentials>> CredentialsOf(const Port& port) {
  if (!port.has_tls()) return ::grpc::InsecureServerCredentials();
  const absl::StatusOr<Pem> pem = Read(port.tls());
  if (!pem.ok()) return pem.status();
  ::grpc::SslServerCredentialsOptions options(pem->authorities.empty()
                                                  ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                  : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = pem->authorities;
  options.pem_key_cert_pairs.push_back({pem->key, pem->certificate});
  return ::grpc::SslServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> CredentialsOf(const Name& name) {
  if (!name.has_tls()) return ::grpc::InsecureChannelCredentials();
  const absl::StatusOr<Pem> pem = Read(name.tls());
  if (!pem.ok()) return pem.status();
  return ::grpc::SslCredentials({pem->authorities, pem->key, pem->certificate});
}

}  // namespace nearcall::proxy
