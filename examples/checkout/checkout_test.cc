// SPDX-License-Identifier: Apache-2.0

// A caller is tested against a mock of what it calls, through a real stub and a real server; and with faults that a
// real server has once a year.
#include "checkout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "nearcall/testing.h"
#include "payment.nearcall.mock.h"

namespace {

using ::testing::Return;

class CheckoutTest : public ::testing::Test {
 protected:
  ::testing::StrictMock<payment::MockPayment> payment_;
  nearcall::testing::TestServer server_{{&payment_}};
  Checkout checkout_{server_.channel()};
};

TEST_F(CheckoutTest, GivesTheReceipt) {
  EXPECT_CALL(payment_, Charge)
      .WillOnce([](nearcall::ServerContext&, const payment::ChargeRequest& request, payment::Receipt& receipt) {
        receipt.set_id(absl::StrCat(request.order(), " paid: ", request.cents()));
        return absl::OkStatus();
      });
  const absl::StatusOr<std::string> paid = checkout_.Pay("book", 1250);
  ASSERT_TRUE(paid.ok()) << paid.status();
  EXPECT_EQ(*paid, "book paid: 1250");
}

TEST_F(CheckoutTest, ARefusalIsFinal) {
  EXPECT_CALL(payment_, Charge).WillOnce(Return(absl::PermissionDeniedError("the card has expired")));
  EXPECT_TRUE(absl::IsPermissionDenied(checkout_.Pay("book", 1250).status()));
}

// The mock would say if it were called twice.
TEST_F(CheckoutTest, WhatMayHaveHappenedIsNotRepeated) {
  server_.faults().Add({.method = "payment.Payment/Charge", .death = true, .times = 1});
  const absl::Status status = checkout_.Pay("book", 1250).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(nearcall::ExecStateOf(status), nearcall::ExecState::kMaybeExecuted);
}

TEST_F(CheckoutTest, ASlowPaymentEndsWithTheDeadline) {
  server_.faults().Add({.delay = absl::Seconds(30), .status = absl::CancelledError("too slow")});
  Checkout hasty(server_.channel(), absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(hasty.Pay("book", 1250).status()));
}

}  // namespace
