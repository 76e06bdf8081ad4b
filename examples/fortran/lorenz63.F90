! A simulator of its own: Lorenz-63 in Fortran, all three variables observed with errors of
! standard deviation 2 every 0.1 time units. The service sees states, simulated
! measurements and observations; the model stays here. The same program is built over files
! and curl (module ccdm_files) and, with -DLIBCURL, over libcurl (module ccdm_libcurl).
program lorenz63
  use, intrinsic :: iso_fortran_env, only: real64
#ifdef LIBCURL
  use ccdm_libcurl
#else
  use ccdm_files
#endif
  implicit none
  integer, parameter :: n = 100, dx = 3, cycles = 220, spin_up = 20
  real(real64), parameter :: deviation = 2, bound = 1
  real(real64) :: x(dx, n), truth(dx), observation(dx), total
  character(500) :: url, work
  integer :: i, k

  call get_command_argument(1, url)
  call get_command_argument(2, work)
  call repeatable()
  ! The measurement of a member is its state: exact, so measurement_error says how precise
  ! the instrument is. The service draws the initial ensemble.
  call ccdm_open(trim(url), '{"state_dim": 3, "measurement_dim": 3, "seed": 1,' // &
    ' "initial_mean": [0, 0, 25], "initial_std": 5, "members": 100,' // &
    ' "options": {"measurement_error": 2.0}}', trim(work))
  call ccdm_analysis(0, x)
  truth = [1, 2, 24]
  total = 0
  do k = 1, cycles
    call forecast(truth)
    observation = truth + deviation * [(normal(), i=1, dx)]
    do i = 1, n
      call forecast(x(:, i))
    end do
    call ccdm_cycle(k, x, x + 0, observation)
    if (k > spin_up) total = total + norm2(sum(x, 2) / n - truth) / sqrt(real(dx, real64))
  end do
  call ccdm_close()
  total = total / (cycles - spin_up)
  write (*, '(a, f0.3, 2(a, f3.1))') 'score: RMSE 0', total, ', wanted below ', bound, &
    '; the observations'' own is ', deviation
  if (.not. total < bound) error stop 1

contains

  subroutine forecast(s)
    real(real64), intent(inout) :: s(:)
    integer :: step
    do step = 1, 10
      s = s + 0.01_real64 * [10 * (s(2) - s(1)), s(1) * (28 - s(3)) - s(2), &
                             s(1) * s(2) - 8 * s(3) / 3]
    end do
  end subroutine

  real(real64) function normal()
    real(real64) :: u(2)
    call random_number(u)
    normal = sqrt(-2 * log(1 - u(1))) * cos(2 * acos(-1.0_real64) * u(2))
  end function

  subroutine repeatable()
    integer :: length
    call random_seed(size=length)
    call random_seed(put=[(i, i=1, length)])
  end subroutine

end program
