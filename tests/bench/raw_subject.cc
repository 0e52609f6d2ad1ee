// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "base/fd.h"
#include "bench/pair.h"

namespace nearcall::bench {

namespace {

constexpr size_t kMaxClients = 512;
constexpr size_t kSize = 64;

struct Slot {
  alignas(64) std::atomic<uint32_t> asked{0};
  std::array<char, kSize> request;
  alignas(64) sem_t reply;
  std::array<char, kSize> answer;
};

struct Memory {
  alignas(64) sem_t request;
  alignas(64) std::atomic<uint32_t> clients{0};
  std::array<Slot, kMaxClients> slots;
};

Memory* Map(const std::string& path) {
  const base::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  NEARCALL_CHECK(file.valid() && ::ftruncate(file.get(), sizeof(Memory)) == 0);
  void* memory = ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  NEARCALL_CHECK(memory != MAP_FAILED);
  return static_cast<Memory*>(memory);
}

class RawSubject final : public Subject {
 public:
  explicit RawSubject(Memory* memory) : memory_(memory), slot_(memory->slots[memory->clients.fetch_add(1)]) {}

  std::unique_ptr<Subject> Share() override { return std::make_unique<RawSubject>(memory_); }

  void Call() override {
    slot_.request.fill('x');
    slot_.asked.store(1, std::memory_order_release);
    ::sem_post(&memory_->request);
    Wait(slot_.reply);
  }

 private:
  Memory* const memory_;
  Slot& slot_;
};

[[noreturn]] void AnswerForEver(Memory& memory) {
  for (;;) {
    Wait(memory.request);
    for (uint32_t i = 0; i < memory.clients.load(std::memory_order_acquire); ++i) {
      Slot& slot = memory.slots[i];
      if (slot.asked.load(std::memory_order_relaxed) == 0 || slot.asked.exchange(0) == 0) continue;
      slot.answer = slot.request;
      ::sem_post(&slot.reply);
    }
  }
}

}  // namespace

std::unique_ptr<Subject> MakeRaw(const SubjectParams& params) {
  return std::make_unique<RawSubject>(Map(params.address));
}

void ServeRaw(const SubjectParams& params) {
  // A new file is all zeros, which is what the counts begin with.
  Memory& memory = *Map(params.address);
  ::sem_init(&memory.request, 1, 0);
  for (Slot& slot : memory.slots) ::sem_init(&slot.reply, 1, 0);
  std::thread([&memory] { AnswerForEver(memory); }).detach();
  ReadyUntilEndOfInput();
  ::_exit(0);
}

}  // namespace nearcall::bench
