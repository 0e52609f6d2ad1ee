// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace nearcall::base {

// What the calling thread has while it runs, and others wait for: the place of a handler. It is returned while the
// thread waits for a call that goes back over the connection by which it was called itself, for what it waits for may
// need such a thing too.
class Returnable {
 public:
  Returnable(const Returnable&) = delete;
  Returnable& operator=(const Returnable&) = delete;

  // As long as it lives, `held` is the calling thread's; null: it has none.
  class Held {
   public:
    explicit Held(Returnable* held) : outer_(current) { current = held; }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { current = outer_; }

   private:
    Returnable* const outer_;
  };

  // As long as it lives, the calling thread does without; if it wants that.
  class Meanwhile {
   public:
    explicit Meanwhile(bool wanted = true) : returned_(wanted ? current : nullptr) {
      if (returned_ != nullptr) returned_->Return();
    }
    Meanwhile(const Meanwhile&) = delete;
    Meanwhile& operator=(const Meanwhile&) = delete;
    ~Meanwhile() {
      if (returned_ != nullptr) returned_->TakeBack();
    }

   private:
    Returnable* const returned_;
  };

 protected:
  Returnable() = default;
  ~Returnable() = default;
  virtual void Return() = 0;
  // Waits for it.
  virtual void TakeBack() = 0;

 private:
  static inline thread_local Returnable* current = nullptr;
};

}  // namespace nearcall::base
