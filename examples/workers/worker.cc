// SPDX-License-Identifier: Apache-2.0

// One of the workers behind the name: start as many as there is work for, and stop them as you like.
#include <unistd.h>

#include <iostream>

#include "workers.nearcall.pb.h"

namespace {

class WorkersImpl final : public workers::Workers::Service {
  absl::Status Work(nearcall::ServerContext&, const workers::Job& job, workers::Result& result) override {
    result.set_square(job.number() * job.number());
    result.set_worker_pid(::getpid());
    return absl::OkStatus();
  }
};

// Who may call, and what: all that the kernel says of the caller is there to be looked at.
absl::Status Authorize(const nearcall::PeerIdentity& peer, absl::string_view method) {
  if (peer.uid == ::geteuid() || peer.uid == 0) return absl::OkStatus();
  return absl::PermissionDeniedError("user " + std::to_string(peer.uid) + " may not call " + std::string(method));
}

}  // namespace

int main() {
  WorkersImpl worker;
  auto server = nearcall::ServerBuilder({.handle_signals = true, .authorize = Authorize})
                    .Listen("workers", {.shared = true})
                    .Register(&worker)
                    .Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  std::cout << ::getpid() << std::endl;  // it is there
  (*server)->Wait();
}
