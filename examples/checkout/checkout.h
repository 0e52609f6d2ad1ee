// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "nearcall/exec_state.h"
#include "payment.nearcall.pb.h"

// The code under test: it charges an order, once. What may have been executed is not tried again.
class Checkout {
 public:
  explicit Checkout(std::shared_ptr<nearcall::Channel> payment, absl::Duration patience = absl::Seconds(5))
      : payment_(std::move(payment)), patience_(patience) {}

  absl::StatusOr<std::string> Pay(const std::string& order, int64_t cents) {
    payment::ChargeRequest request;
    request.set_order(order);
    request.set_cents(cents);
    for (int tries = 1;; ++tries) {
      const absl::StatusOr<payment::Receipt> receipt = payment_.Charge(request, {.timeout = patience_});
      if (receipt.ok()) return receipt->id();
      const bool nothing_has_happened = nearcall::ExecStateOf(receipt.status()) <= nearcall::ExecState::kNotStarted;
      if (tries == 3 || !nothing_has_happened || !absl::IsUnavailable(receipt.status())) return receipt.status();
    }
  }

 private:
  payment::Payment::Stub payment_;
  const absl::Duration patience_;
};
