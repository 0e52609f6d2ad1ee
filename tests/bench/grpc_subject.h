// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "bench/subject.h"

namespace nearcall::bench {

std::shared_ptr<grpc::Channel> ConnectGrpc(const SubjectParams& params);

// Until standard input ends.
void ServeGrpc(const SubjectParams& params, grpc::Service& service);

// The end of the program if it is anything else.
void ExpectOk(const grpc::Status& status);

}  // namespace nearcall::bench
