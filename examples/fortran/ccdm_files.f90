! CCDM from Fortran 2008 with files and the program curl: nothing to link. Copy this file.
!
! Keep one member per column: x(dx, n). Fortran stores by columns, so these bytes are the
! n by dx array, stored by rows, that the service means: nothing is transposed, and the
! npy header says 'fortran_order': False, 'shape': (n, dx).
module ccdm_files
  use, intrinsic :: iso_fortran_env, only: real64
  implicit none
  private
  public :: ccdm_open, ccdm_analysis, ccdm_cycle, ccdm_close

  character(:), allocatable :: root, session, folder

contains

  ! Begin a session. settings is the body of POST /v1/sessions; files go to work.
  subroutine ccdm_open(url, settings, work)
    character(*), intent(in) :: url, settings, work
    character(500) :: line
    integer :: unit, status
    root = url
    folder = work
    open (newunit=unit, file=folder // '/settings.json', status='replace')
    write (unit, '(a)') settings
    close (unit)
    call curl('POST', '/v1/sessions', '--dump-header ' // folder // '/heads -H ' // &
              '"Content-Type: application/json" --data @' // folder // '/settings.json')
    session = ''
    open (newunit=unit, file=folder // '/heads', status='old')
    do
      read (unit, '(a)', iostat=status) line
      if (status /= 0) exit
      if (scan(line, char(13)) > 0) line = line(:scan(line, char(13)) - 1)
      if (line(1:9) == 'location:' .or. line(1:9) == 'Location:') &
        session = trim(adjustl(line(10:)))
    end do
    close (unit)
    if (session == '') error stop 'ccdm: no session in the answer (Location)'
  end subroutine

  ! Samples x(dx, n) of a finished cycle; cycle 0 is the initial ensemble.
  subroutine ccdm_analysis(cycle, x)
    integer, intent(in) :: cycle
    real(real64), intent(out) :: x(:, :)
    call curl('GET', session // '/cycles/' // text(cycle) // '/analysis', &
              '-H "Accept: application/octet-stream"')
    call read_reply(x)
  end subroutine

  ! Assimilate cycle k: x(dx, n) forecast in, analysis out; y(dy, n); NaN in the
  ! observation where nothing came in. The same cycle may be sent again.
  subroutine ccdm_cycle(k, x, y, observation)
    integer, intent(in) :: k
    real(real64), intent(inout) :: x(:, :)
    real(real64), intent(in) :: y(:, :), observation(:)
    call write_npy('states', shape(x), reshape(x, [size(x)]))
    call write_npy('simulated', shape(y), reshape(y, [size(y)]))
    call write_npy('observation', shape(observation), observation)
    call curl('PUT', session // '/cycles/' // text(k), &
              '-H "Accept: application/octet-stream"' // &
              ' -F forecast_states=@' // folder // '/states.npy' // &
              ' -F simulated_measurements=@' // folder // '/simulated.npy' // &
              ' -F observation=@' // folder // '/observation.npy')
    call read_reply(x)
  end subroutine

  ! Have the service forget the session, which it keeps otherwise.
  subroutine ccdm_close()
    call curl('DELETE', session, '')
  end subroutine

  ! An npy file: a header of 128 bytes, then the numbers (little-endian).
  subroutine write_npy(name, sizes, values)
    character(*), intent(in) :: name
    integer, intent(in) :: sizes(:)
    real(real64), intent(in) :: values(:)
    character(117) :: header
    integer :: unit
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (" // &
             text(sizes(size(sizes))) // ','
    if (size(sizes) == 2) header = trim(header) // ' ' // text(sizes(1))
    header = trim(header) // '), }'
    open (newunit=unit, file=folder // '/' // name // '.npy', access='stream', &
          form='unformatted', status='replace')
    write (unit) char(147) // 'NUMPY' // char(1) // char(0) // char(118) // char(0)
    write (unit) header // char(10), values
    close (unit)
  end subroutine

  subroutine read_reply(x)
    real(real64), intent(out) :: x(:, :)
    integer :: unit
    open (newunit=unit, file=folder // '/reply', access='stream', form='unformatted', &
          status='old')
    read (unit) x
    close (unit)
  end subroutine

  ! Run curl; it asks again while the service is away. Stop at a refusal, and show it.
  subroutine curl(method, path, arguments)
    character(*), intent(in) :: method, path, arguments
    integer :: status
    call execute_command_line('curl -sS --fail-with-body --retry 15 --retry-connrefused' // &
      ' --retry-delay 2 ${CCDM_API_KEY:+-H "X-API-Key: $CCDM_API_KEY"} -X ' // method // &
      ' -o ' // folder // '/reply ' // arguments // ' ' // root // path, exitstat=status)
    if (status == 0) return
    call execute_command_line('cat ' // folder // '/reply >&2')
    error stop 'ccdm: the request failed'
  end subroutine

  pure function text(number)
    integer, intent(in) :: number
    character(:), allocatable :: text
    character(12) :: digits
    write (digits, '(i0)') number
    text = trim(digits)
  end function

end module
