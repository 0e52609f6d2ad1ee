// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>

#include "support/leak_check.h"
#include "support/temporary_directory.h"

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

// False: a test, or a process of it, has left a directory behind.
bool NoDirectoryIsLeft() {
  bool none = true;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path())) {
    if (entry.path().filename().string().rfind(TemporaryPrefix(), 0) != 0) continue;
    std::cerr << "a test has left " << entry.path() << " behind\n";
    none = false;
  }
  return none;
}

}  // namespace
}  // namespace nearcall::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  const bool begins = ::setenv("NEARCALL_TEST_RUN", std::to_string(::getpid()).c_str(), /*replace=*/0) == 0 &&
                      std::getenv("NEARCALL_TEST_RUN") == std::to_string(::getpid());
  nearcall::testing::StartSanitizer();  // before we count
  // Before the printer, so that its failures belong to the test.
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  auto* printer = listeners.Release(listeners.default_result_printer());
  listeners.Append(new nearcall::testing::LeakCheck);
  listeners.Append(printer);
  const int result = RUN_ALL_TESTS();
  // A child that runs one test again (a death test's) leaves that to its parent.
  return !begins || nearcall::testing::NoDirectoryIsLeft() ? result : 1;
}
