// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "nearcall/nearcall.h"
#include "temporary_tree.h"

namespace search {

// A server of a test, on every transport at an address that nobody else has.
class TestServer {
 public:
  // `service` must outlive this, or Stop().
  void Start(nearcall::Service& service) {
    nearcall::ServerBuilder builder;
    for (const char* transport : {"shm", "mq", "pipe"}) builder.Listen(Address(transport));
    auto server = builder.Register(&service).Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void Stop() { server_.reset(); }

  absl::StatusOr<std::shared_ptr<nearcall::Channel>> Connect(const std::string& transport = "shm") const {
    return nearcall::Channel::Connect(Address(transport));
  }

 private:
  std::string Address(const std::string& transport) const { return transport + ":" + socket_.Path("search"); }

  TemporaryTree socket_;
  std::unique_ptr<nearcall::Server> server_;
};

}  // namespace search
