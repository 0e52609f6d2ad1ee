// SPDX-License-Identifier: Apache-2.0
#include "address.h"

#include <gtest/gtest.h>

#include <string>

namespace nearcall::grpc {
namespace {

TEST(GrpcAddressTest, IsAHostAndAPort) {
  for (const std::string address :
       {"localhost:1", "db-1.example.net:50051", "127.0.0.1:0", "[::1]:65535", "[fe80::1%eth0]:8080"}) {
    const auto parsed = ParseAddress("grpc:" + address);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, address);
  }
}

TEST(GrpcAddressTest, WhatIsNoneIsRefused) {
  for (const std::string address : {"", "grpc:", "grpc:1", "grpc:host", "grpc:host:", "grpc::1", "grpc:host:65536",
                                    "grpc:host:-1", "grpc:host:1x", "grpc:::1:50051", "grpc:unix:/run/x:1",
                                    "grpc://host:1", "grpc:a b:1", "grpc:[::1:1", "shm:host:1", "grpc:host:000000"}) {
    EXPECT_EQ(ParseAddress(address).status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

}  // namespace
}  // namespace nearcall::grpc
