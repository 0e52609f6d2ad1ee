// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cstddef>
#include <random>
#include <string>
#include <thread>

#include "support/leak_check.h"

// From <sanitizer/common_interface_defs.h>, if there is one.
extern "C" [[gnu::weak]] void __sanitizer_symbolize_pc(void* pc, const char* format, char* out, size_t size);

namespace nearcall::testing {
namespace {

// Fails each test that leaves something behind.
class LeakCheck : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { before_ = Resources::Now(); }

  void OnTestEnd(const ::testing::TestInfo&) override {
    const std::string leaked = Resources::LeakedSince(before_);
    if (!leaked.empty()) ADD_FAILURE() << "the test left behind: " << leaked;
  }

  Resources before_;
};

// ThreadSanitizer starts a thread of its own with the first one, and with the first race that it looks at, even if that
// is one to be ignored, a process that knows the names of functions.
void StartSanitizer() {
  std::thread([] {}).join();
  std::array<char, 64> name;
  if (__sanitizer_symbolize_pc != nullptr) {
    __sanitizer_symbolize_pc(__builtin_return_address(0), "%f", name.data(), name.size());
  }
}

}  // namespace
}  // namespace nearcall::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  // Of this program and its children alone: a number of a process comes again, and who was killed leaves its behind.
  ::setenv("NEARCALL_TEST_RUN", std::to_string(std::random_device()()).c_str(), /*replace=*/0);
  nearcall::testing::StartSanitizer();  // before we count
  // Before the printer, so that its failures belong to the test.
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  auto* printer = listeners.Release(listeners.default_result_printer());
  listeners.Append(new nearcall::testing::LeakCheck);
  listeners.Append(printer);
  return RUN_ALL_TESTS();
}
