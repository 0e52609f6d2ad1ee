// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "nearcall/grpc.h"
#include "nearcall/server.h"
#include "proxy.pb.h"

namespace nearcall::proxy {

// What a configuration says, at work. Used by one thread.
class Proxy {
 public:
  // Everything, or nothing and why. (A server behind a port, or a host behind a name, need not be there yet.)
  absl::Status Start(const Config& config);

  // "grpc:127.0.0.1:50051 -> shm:search", a line each, with the ports that there are now.
  const std::vector<std::string>& lines() const { return lines_; }

  // Takes no further calls, waits for those under way for at most `grace`, and ends.
  void Drain(absl::Duration grace);

 private:
  struct OpenName {
    std::unique_ptr<grpc::Remote> remote;
    std::unique_ptr<Server> server;
  };

  absl::Status Open(const Port& port);
  absl::Status Open(const Name& name);

  std::vector<std::unique_ptr<grpc::Port>> ports_;
  std::vector<OpenName> names_;
  std::vector<std::string> lines_;
};

}  // namespace nearcall::proxy
