vmm_library(fake_event_loop SOURCES fake_event_loop.cc DEPS base)
vmm_test(fake_event_loop_test SOURCES fake_event_loop_test.cc DEPS fake_event_loop)
