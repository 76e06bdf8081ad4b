! CCDM from Fortran 2008 over libcurl, by ISO_C_BINDING. Copy this file together with
! ../c/ccdm.c and ../c/ccdm.h. The bindings go to those few C functions and not to libcurl
! itself, because curl_easy_setopt takes a variable number of arguments, which Fortran
! cannot call portably.
!
! Keep one member per column: x(dx, n). Fortran stores by columns, so these bytes are the
! n by dx array, stored by rows, that the service means: nothing is transposed.
module ccdm_libcurl
  use, intrinsic :: iso_c_binding
  implicit none
  private
  public :: ccdm_open, ccdm_analysis, ccdm_cycle, ccdm_close

  type(c_ptr) :: session = c_null_ptr

  interface
    function c_open(url, settings) bind(c, name='ccdm_open')
      import :: c_ptr, c_char
      character(kind=c_char), intent(in) :: url(*), settings(*)
      type(c_ptr) :: c_open
    end function
    function c_analysis(session, cycle, n, dx, x) bind(c, name='ccdm_analysis')
      import :: c_ptr, c_int, c_double
      type(c_ptr), value :: session
      integer(c_int), value :: cycle, n, dx
      real(c_double), intent(out) :: x(dx, n)
      integer(c_int) :: c_analysis
    end function
    function c_cycle(session, k, n, dx, dy, x, y, observation, analysis) &
      bind(c, name='ccdm_cycle')
      import :: c_ptr, c_int, c_double
      type(c_ptr), value :: session
      integer(c_int), value :: k, n, dx, dy
      real(c_double), intent(in) :: x(dx, n), y(dy, n), observation(dy)
      real(c_double), intent(out) :: analysis(dx, n)
      integer(c_int) :: c_cycle
    end function
    function c_delete(session) bind(c, name='ccdm_delete')
      import :: c_ptr, c_int
      type(c_ptr), value :: session
      integer(c_int) :: c_delete
    end function
    subroutine ccdm_close_c(session) bind(c, name='ccdm_close')
      import :: c_ptr
      type(c_ptr), value :: session
    end subroutine
  end interface

contains

  ! Begin a session; settings is the body of POST /v1/sessions. The last argument is
  ! not used: it is there so that either module does.
  subroutine ccdm_open(url, settings, work)
    character(*), intent(in) :: url, settings, work
    session = c_open(trim(url) // c_null_char, settings // c_null_char)
    if (.not. c_associated(session) .or. len(work) < 0) error stop 'ccdm: no session'
  end subroutine

  ! Samples x(dx, n) of a finished cycle; cycle 0 is the initial ensemble.
  subroutine ccdm_analysis(cycle, x)
    integer, intent(in) :: cycle
    real(c_double), intent(out) :: x(:, :)
    if (c_analysis(session, cycle, size(x, 2), size(x, 1), x) /= 0) &
      error stop 'ccdm: no analysis'
  end subroutine

  ! Assimilate cycle k: x(dx, n) forecast in, analysis out; y(dy, n); NaN in the
  ! observation where nothing came in. The same cycle may be sent again.
  subroutine ccdm_cycle(k, x, y, observation)
    integer, intent(in) :: k
    real(c_double), intent(inout) :: x(:, :)
    real(c_double), intent(in) :: y(:, :), observation(:)
    real(c_double) :: analysis(size(x, 1), size(x, 2))
    if (c_cycle(session, k, size(x, 2), size(x, 1), size(y, 1), x, y, observation, &
                analysis) /= 0) error stop 'ccdm: the cycle failed'
    x = analysis
  end subroutine

  ! Have the service forget the session, which it keeps otherwise.
  subroutine ccdm_close()
    if (c_delete(session) /= 0) error stop 'ccdm: the session was not deleted'
    call ccdm_close_c(session)
  end subroutine

end module
