// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "proxy.pb.h"

namespace nearcall::proxy {

// Of the files of `tls`, which are read now.
absl::StatusOr<std::shared_ptr<::grpc::ServerCredentials>> CredentialsOf(const Port& port);
absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> CredentialsOf(const Name& name);

}  // namespace nearcall::proxy
